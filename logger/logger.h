/* SPDX-License-Identifier: ISC */
/* What logger's parts share. */
#ifndef KP_LOGGER_LOGGER_H
#define KP_LOGGER_LOGGER_H

#include "lib/base/buf.h"
#include "lib/chan/loop.h"
#include "lib/log/log.h"
#include "lib/sandbox/sandbox.h"
#include "lib/service/service.h"
#include "logger/conf.h"

/* A file that is appended to, and opened again when it has been renamed or removed (log rotation).
 */
struct sink {
	const char *path; /* the configuration's */
	int fd;
	struct buf text; /* what this round adds */
};

/* A line that waits for its turn: programs write at the end of their rounds, so that lines arrive a
 * little out of order. */
struct line {
	uint64_t when, number; /* microseconds since 1970; the order of arrival */
	enum log_level level;
	char *text, *json; /* owned; json NULL: none is wanted */
	size_t tag;        /* where the text goes on behind date and host */
};

struct logger {
	struct service *service;
	const struct logger_conf *conf;
	char host[256];
	struct sink text, json;
	struct line *lines;
	size_t nlines, lines_size;
	uint64_t number;
	int syslog_fd;
	int64_t checked_ms;
	struct loop_task flush;
};

extern const struct sandbox logger_sandbox;

/* sink.c */
void sink_open(struct sink *sink, const char *path);
void sink_close(struct sink *sink);
void sink_check(struct sink *sink);
void sink_flush(struct sink *sink);
void syslog_connect(struct logger *l);
void syslog_line(struct logger *l, int severity, struct str line);

/* line.c: one event, as the text line and as JSON. */
void line_add(struct logger *l, const struct service_partner *from, uint64_t trace,
    const struct msg_log *msg);
/* Moves the lines that are older than `when` to the sinks, in the order of their times. */
void lines_write(struct logger *l, uint64_t when);

#endif
