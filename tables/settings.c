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
    SETTING_TIME_ROW(
	S, tables_timeout, "10s", 100, 600000, "time limit for an answer about a Unix user"),
};

const struct settings tables_settings = {
    "tables", rows, sizeof rows / sizeof rows[0], sizeof(struct tables_conf)};
