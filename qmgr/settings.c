/* SPDX-License-Identifier: ISC */
/* The settings of qmgr, one row each. */
#include "qmgr/conf.h"

#define TIME(name, def, min, max, help) SETTING_TIME_ROW(qmgr_conf, name, def, min, max, help)
#define SIZE(name, def, min, max, help) SETTING_SIZE_ROW(qmgr_conf, name, def, min, max, help)
#define INT(name, def, min, max, help) SETTING_INT_ROW(qmgr_conf, name, def, min, max, help)

enum { HOUR = 3600 * 1000, DAY = 24 * HOUR };

#define YEAR (INT64_C(365) * DAY)

static const struct setting rows[] = {
    TIME(minimal_backoff_time, "300s", 1000, YEAR,
	"wait before the second attempt; it doubles with each one after"),
    TIME(maximal_backoff_time, "4000s", 1000, YEAR, "longest wait between two attempts"),
    TIME(maximal_queue_lifetime, "5d", 0, YEAR,
	"mail that is older is returned instead of tried again"),
    TIME(bounce_queue_lifetime, "5d", 0, YEAR,
	"the same for notifications and other mail from the null sender"),
    TIME(delay_warning_time, "0", 0, YEAR,
	"tell the sender once that mail is late, after this time; 0: never"),
    INT(initial_destination_concurrency, "5", 1, 100000,
	"deliveries to a destination at once, to begin with"),
    INT(default_destination_concurrency_limit, "20", 1, 100000,
	"most deliveries to one destination at once"),
    INT(default_destination_recipient_limit, "50", 1, 100000, "most recipients of one delivery"),
    INT(smtp_destination_concurrency_limit, "0", 0, 100000,
	"the same for transport smtp; 0: default_destination_concurrency_limit"),
    INT(relay_destination_concurrency_limit, "0", 0, 100000,
	"the same for transport relay; 0: default_destination_concurrency_limit"),
    INT(lmtp_destination_concurrency_limit, "0", 0, 100000,
	"the same for transport lmtp; 0: default_destination_concurrency_limit"),
    INT(local_destination_concurrency_limit, "100", 0, 100000,
	"the same for transport local, whose destinations are domains; 0: "
	"default_destination_concurrency_limit"),
    INT(virtual_destination_concurrency_limit, "100", 0, 100000,
	"the same for transport virtual; 0: default_destination_concurrency_limit"),
    INT(smtp_destination_recipient_limit, "0", 0, 100000,
	"most recipients of one delivery by smtp; 0: default_destination_recipient_limit"),
    INT(relay_destination_recipient_limit, "0", 0, 100000,
	"the same for transport relay; 0: default_destination_recipient_limit"),
    INT(lmtp_destination_recipient_limit, "0", 0, 100000,
	"the same for transport lmtp; 0: default_destination_recipient_limit"),
    INT(local_destination_recipient_limit, "0", 0, 100000,
	"the same for transport local; 0: default_destination_recipient_limit"),
    INT(virtual_destination_recipient_limit, "0", 0, 100000,
	"the same for transport virtual; 0: default_destination_recipient_limit"),
    INT(qmgr_message_active_limit, "20000", 10, 10000000,
	"most messages in memory; others wait on disk"),
    INT(qmgr_delivery_limit, "2000", 1, 100000,
	"most deliveries under way at once over all destinations"),
    TIME(qmgr_report_timeout, "10s", 100, HOUR,
	"a worker that does not say within this time what it was doing is cut off"),
    TIME(qmgr_result_sync_delay, "100ms", 1, 60 * 1000,
	"results are made durable together, after this time at the latest"),
    INT(qmgr_journal_segments, "4", 1, 10000,
	"full journal segments of one worker that may hold waiting mail; more of it moves to "
	"files"),
    SIZE(qmgr_index_size, "16G", 1 << 20, INT64_C(1) << 44,
	"largest size of the index (address space, not memory)"),
    INT(qmgr_rebuild_readers, "4", 1, 16,
	"threads that read the queue when the index is made anew"),
    INT(qmgr_client_limit, "200", 1, 100000, "most clients of the queue socket at once"),
    TIME(qmgr_client_timeout, "300s", 1000, DAY,
	"a client of the queue socket that says nothing for so long is cut off"),
    SETTING_TEXT_ROW(qmgr_conf, queue_operators_group, "",
	"members of this Unix group may see and handle all mail; root and qmgr's own user always "
	"may"),
};

const struct settings qmgr_settings = {
    "qmgr", rows, sizeof rows / sizeof rows[0], sizeof(struct qmgr_conf)};
