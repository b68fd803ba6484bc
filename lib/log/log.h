/* SPDX-License-Identifier: ISC */
/*
 * What happened: typed events (lib/log/events.h), sent to logger over a channel and rendered there
 * twice, as the line that Postfix would write and as JSON. Before the channel exists (and in tests)
 * the text goes to standard error.
 */
#ifndef KP_LOG_LOG_H
#define KP_LOG_LOG_H

#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/log/events.h"
#include "lib/wire/wire.h"

struct buf;
struct chan;

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

#define EVENT_ENUM(CONSTANT, tag, level, text) EV_##CONSTANT,
enum log_event { EV_NONE, EVENTS(EVENT_ENUM) EV_COUNT };
#undef EVENT_ENUM

#define EVENT_STRUCT(CONSTANT, tag, level, text)                        \
	struct ev_##tag {                                               \
		EV_##CONSTANT##_FIELDS(WIRE_MEMBER) char end_of_fields; \
	};
EVENTS(EVENT_STRUCT)
#undef EVENT_STRUCT

/* How an event is rendered. */
struct log_form {
	enum log_level level;
	const char *text; /* "{field}" is its value, "{?field: ...}" stands only where it is not
			     empty or 0 */
	struct wire_type type;
};
const struct log_form *log_form(unsigned event);

/* Standard error with this tag; then the channel to logger once there is one (NULL: back to
 * standard error). */
void log_open(const char *tag);
void log_channel(struct chan *ch);
void log_set_debug(bool on);

/* Reports an event; `record` is its struct ev_*. `trace` is 0 where there is none. Never fails,
 * never waits. */
void log_event(uint64_t trace, enum log_event event, const void *record);

/* Free text, for what is about the program and not about a message. One line. */
void log_info(const char *fmt, ...) KP_PRINTF(1, 2);
void log_warning(const char *fmt, ...) KP_PRINTF(1, 2);
void log_error(const char *fmt, ...) KP_PRINTF(1, 2);
void log_debug(const char *fmt, ...) KP_PRINTF(1, 2);

/* The text of an event, without date and tag; control characters come out as \ooo. And its fields
 * as JSON members (",\"k\":v..."). */
void log_render_text(const struct log_form *form, const void *record, struct buf *out);
void log_render_json(const struct log_form *form, const void *record, struct buf *out);

/* A JSON string with its quotes; bytes that are not UTF-8 come out as U+FFFD. */
void log_json_text(struct str s, struct buf *out);

/* A new trace id: never 0, unique over the instance's life. */
uint64_t log_new_trace(void);

#endif
