/* SPDX-License-Identifier: ISC */
/* The settings of cleanup, one row each. */
#include "cleanup/conf.h"

#define TIME(name, def, min, max, help) SETTING_TIME_ROW(cleanup_conf, name, def, min, max, help)
#define SIZE(name, def, min, max, help) SETTING_SIZE_ROW(cleanup_conf, name, def, min, max, help)
#define INT(name, def, min, max, help) SETTING_INT_ROW(cleanup_conf, name, def, min, max, help)

static const struct setting rows[] = {
    INT(virtual_alias_expansion_limit, "1000", 1, 1000000,
	"most addresses that one recipient may expand to; the message is put off beyond"),
    INT(message_recipient_limit, "50000", 1, 10000000,
	"most recipients of one message, all expansions included"),
    SIZE(queue_minfree, "0", 0, INT64_MAX,
	"free space below which mail is put off (452); 0: one and a half times message_size_limit"),
    SIZE(journal_segment_size, "16M", 1 << 20, 1 << 30,
	"size of a journal segment, which is made in advance"),
    INT(journal_spare_segments, "3", 1, 1000,
	"journal segments that a worker keeps for using again"),
    INT(cleanup_message_limit, "10000", 1, 1000000,
	"most messages under way at once in one worker; 451 to those beyond"),
    TIME(cleanup_idle_timeout, "3600s", 1000, 24 * 3600 * 1000,
	"a message of which nothing came for so long is given up"),
    INT(cleanup_sync_threads, "4", 1, 64, "threads that sync large messages"),
};

const struct settings cleanup_settings = {
    "cleanup", rows, sizeof rows / sizeof rows[0], sizeof(struct cleanup_conf)};
