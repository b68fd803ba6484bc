/* SPDX-License-Identifier: ISC */
/* What master itself is told, and what a service section says about its service. */
#include "master/conf.h"

static const struct setting master_rows[] = {
    SETTING_TIME_ROW(master_conf, stop_timeout, "30s", 0, 3600 * 1000,
	"how long what is under way may take to finish when the suite stops"),
    SETTING_TIME_ROW(master_conf, drain_timeout, "1h", 1000, 7 * 24 * 3600 * 1000LL,
	"how long sessions of a worker that has been replaced (reload, max_requests) may go on"),
    SETTING_BOOL_ROW(master_conf, open_relay, "no",
	"yes: a configuration that lets outsiders relay is meant so; without it such a "
	"configuration is refused"),
    SETTING_TEXT_ROW(master_conf, operators_group, "adm",
	"members of this group may act on the queue and control the suite; root and the instance's "
	"owner always may"),
    SETTING_LIST_ROW(master_conf, shared_paths, "$config_directory, /etc/ssl, /etc/letsencrypt",
	"folders whose certificate files and sockets master opens for a worker although the "
	"configuration does not name them one by one, because a table does"),
};

const struct settings master_settings = {
    "master", master_rows, sizeof master_rows / sizeof master_rows[0], sizeof(struct master_conf)};

static const struct setting service_rows[] = {
    SETTING_TEXT_ROW(service_conf, program, "", "the program that the service runs"),
    SETTING_LIST_ROW(service_conf, listen, "",
	"addresses that the service accepts connections on: 192.0.2.1:25, [2001:db8::1]:25, *:25"),
    SETTING_INT_ROW(service_conf, workers, "0", 0, 64,
	"processes of this service; 0: as many as suit the program"),
    SETTING_TEXT_ROW(service_conf, user, "",
	"the account that the service runs under, instead of the program's own"),
};

const struct settings service_settings = {"service", service_rows,
    sizeof service_rows / sizeof service_rows[0], sizeof(struct service_conf)};
