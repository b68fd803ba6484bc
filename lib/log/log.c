/* SPDX-License-Identifier: ISC */
/*
 * The sending side of the log. Events are encoded and queued on the channel to logger; they leave
 * with the other messages of the round. Where logger does not keep up, events are counted as lost
 * rather than waited for; the count is reported when there is room again. The one handle of this
 * file is the process's log.
 */
#include "lib/log/log.h"

#include <bsd/stdlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/metrics/metrics.h"

enum { RECORD_MAX = 16384, QUEUE_MAX = 4 * 1024 * 1024 };

#define FORM_ROWS(CONSTANT, tag, level, text)           \
	static const struct wire_field tag##_rows[] = { \
	    EV_##CONSTANT##_FIELDS(WIRE_ROW) WIRE_ROW_END};
EVENTS(FORM_ROWS)
#undef FORM_ROWS

#define FORM(CONSTANT, tag, level, text) \
	[EV_##CONSTANT] = {LOG_LEVEL_##level, text, WIRE_TYPE(tag, struct ev_##tag)},
static const struct log_form forms[EV_COUNT] = {EVENTS(FORM)};
#undef FORM

static struct {
	const char *tag;
	struct chan *ch;
	bool debug;
	uint64_t lost;
	struct buf record;
} handle = {.tag = "kingpost", .record = {.max = RECORD_MAX}};

const struct log_form *
log_form(unsigned event)
{
	return event > EV_NONE && event < EV_COUNT ? &forms[event] : NULL;
}

static void
write_stderr(const char *text)
{
	fprintf(stderr, "%s[%d]: %s\n", handle.tag, (int)getpid(), text);
}

/* fatal() and panic() go straight to standard error and to logger, with what else waits there. */
static void
on_last_words(const char *text)
{
	struct chan *ch = handle.ch;

	write_stderr(text);
	if (ch == NULL)
		return;
	log_error("%s", text);
	handle.ch = NULL;
	chan_flush(ch);
}

static void
on_channel_fault(const char *peer, const char *text)
{
	struct ev_channel ev = {.peer = str_from(peer), .text = str_from(text)};

	log_event(0, EV_CHANNEL, &ev);
}

void
log_open(const char *tag)
{
	handle.tag = tag;
	panic_set_writer(on_last_words);
	chan_set_reporter(on_channel_fault);
}

void
log_channel(struct chan *ch)
{
	handle.ch = ch;
}

void
log_set_debug(bool on)
{
	handle.debug = on;
}

static void
to_stderr(const struct log_form *form, const void *record)
{
	struct buf text;

	buf_init(&text, RECORD_MAX * 5);
	log_render_text(form, record, &text);
	write_stderr(buf_cstr(&text));
	buf_free(&text);
}

static int
to_channel(uint64_t trace, enum log_event event, const struct log_form *form, const void *record)
{
	if (chan_pending(handle.ch) > QUEUE_MAX)
		return -1;
	buf_reset(&handle.record);
	if (wire_encode(&form->type, record, &handle.record, NULL, NULL, NULL) == -1)
		return -1;
	struct msg_log msg = {
	    .event = event, .when = (uint64_t)wall_us(), .record = buf_view(&handle.record)};
	return chan_send(handle.ch, 0, trace, MSG_LOG, &msg);
}

static void
report_lost(void)
{
	char text[64];

	if (handle.lost == 0)
		return;
	snprintf(text, sizeof text, "%llu log events were lost", (unsigned long long)handle.lost);
	struct ev_warning ev = {.text = str_from(text)};
	if (to_channel(0, EV_WARNING, &forms[EV_WARNING], &ev) == 0)
		handle.lost = 0;
}

void
log_event(uint64_t trace, enum log_event event, const void *record)
{
	const struct log_form *form = &forms[event];

	if (form->level == LOG_LEVEL_DEBUG && !handle.debug)
		return;
	if (handle.ch == NULL) {
		to_stderr(form, record);
		return;
	}
	report_lost();
	if (to_channel(trace, event, form, record) == -1) {
		handle.lost++;
		metric_add(METRIC_LOG_LOST, 1);
	}
}

static void say(enum log_event event, const char *fmt, va_list ap) KP_PRINTF(2, 0);

static void
say(enum log_event event, const char *fmt, va_list ap)
{
	char text[4096];

	if (vsnprintf(text, sizeof text, fmt, ap) < 0)
		return;
	struct ev_note ev = {.text = str_from(text)}; /* the four free-text events have one shape */
	log_event(0, event, &ev);
}

#define FREE_TEXT(name, event)                \
	void log_##name(const char *fmt, ...) \
	{                                     \
		va_list ap;                   \
		va_start(ap, fmt);            \
		say(event, fmt, ap);          \
		va_end(ap);                   \
	}
FREE_TEXT(info, EV_NOTE)
FREE_TEXT(warning, EV_WARNING)
FREE_TEXT(error, EV_ERROR)
FREE_TEXT(debug, EV_DEBUG)

uint64_t
log_new_trace(void)
{
	uint64_t trace = (uint64_t)arc4random() << 32 | arc4random();

	return trace != 0 ? trace : 1;
}
