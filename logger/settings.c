/* SPDX-License-Identifier: ISC */
/* logger's settings. */
#include "logger/conf.h"

static const char *const timestamps[] = {"traditional", "rfc3339", NULL};
static const char *const facilities[] = {"mail", "daemon", "user", "local0", "local1", "local2",
    "local3", "local4", "local5", "local6", "local7", NULL};

static const struct setting rows[] = {
    SETTING_TEXT_ROW(logger_conf, maillog_file, "$log_directory/kingpost.log",
	"file that the text log is written to; /dev/stdout and /dev/stderr are possible; empty: "
	"none"),
    SETTING_TEXT_ROW(logger_conf, maillog_json_file, "$log_directory/kingpost.json",
	"file that each event is written to as a line of JSON; empty: none"),
    SETTING_BOOL_ROW(logger_conf, syslog, "no", "send the text log to the system's log, too"),
    SETTING_WORD_ROW(logger_conf, syslog_facility, "mail", facilities,
	"facility of what goes to the system's log"),
    SETTING_WORD_ROW(logger_conf, maillog_timestamp, "traditional", timestamps,
	"how lines of maillog_file begin: as syslog's (Jan  2 03:04:05), or "
	"2026-01-02T03:04:05.678901+00:00"),
};

const struct settings logger_settings = {
    "logger", rows, sizeof rows / sizeof rows[0], sizeof(struct logger_conf)};
