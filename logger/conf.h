/* SPDX-License-Identifier: ISC */
#ifndef KP_LOGGER_CONF_H
#define KP_LOGGER_CONF_H

#include "lib/conf/common.h"

enum { TIMESTAMP_TRADITIONAL, TIMESTAMP_RFC3339 };

struct logger_conf {
	struct conf_common common;
	char *maillog_file;
	char *maillog_json_file;
	bool syslog;
	int64_t syslog_facility;   /* index into the words: mail, daemon, user, local0 ... */
	int64_t maillog_timestamp; /* TIMESTAMP_* */
};

extern const struct settings logger_settings;

#endif
