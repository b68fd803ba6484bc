/* SPDX-License-Identifier: ISC */
/* Tables' settings. tables_timeout is router's, too: how long it waits is how long an answer is
 * worth giving. */
#include "tables/conf.h"

#define S tables_conf

static const struct setting rows[] = {
    SETTING_INT_ROW(
	S, tables_threads, "4", 1, 256, "lookups that may wait for the system at the same time"),
    SETTING_INT_ROW(S, tables_queue_max, "1000", 1, 100000,
	"lookups that may wait for a thread; more are put off"),
    SETTING_TIME_ROW(S, tables_timeout, "10s", 100, 600000,
	"time limit for an answer about a Unix user, or of a tcp: or socketmap: table"),
    SETTING_INT_ROW(S, remote_table_connections, "4", 1, 64,
	"most connections at once to the server of a tcp: or socketmap: table"),
    SETTING_TIME_ROW(S, remote_table_max_idle, "10s", 0, 3600000,
	"a connection to such a server that is not used for so long is closed"),
    SETTING_TIME_ROW(S, remote_table_max_age, "100s", 0, 3600000,
	"... and one that is so old, after its answer"),
    SETTING_LIST_ROW(S, remote_tables, "",
	"more tcp: and socketmap: tables that may be asked; those that the configuration names are "
	"added by master"),
};

const struct settings tables_settings = {
    "tables", rows, sizeof rows / sizeof rows[0], sizeof(struct tables_conf)};
