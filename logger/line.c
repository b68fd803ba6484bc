/* SPDX-License-Identifier: ISC */
/*
 * The shape of lines. Text: "Nov 22 13:18:43 host kingpost/smtpd[4711]: ..." as Postfix writes it,
 * so that pflogsumm and fail2ban rules carry over. JSON: one object a line, with the trace id that
 * the text has no place for. Hostile input: the record, which a worker encoded; one that does not
 * decode is reported as such.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/log/log.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "logger/logger.h"

/* A sink that is full loses lines, see logger/sink.c. */
enum { LINE_MAX_BYTES = 128 * 1024 };

#define APPEND(call) ((void)!(call))

static void
add_time(const struct logger *l, uint64_t when, struct buf *out)
{
	time_t seconds = (time_t)(when / 1000000);
	struct tm tm;
	char text[64];

	localtime_r(&seconds, &tm);
	if (l->conf->maillog_timestamp == TIMESTAMP_TRADITIONAL) {
		strftime(text, sizeof text, "%b %e %H:%M:%S", &tm);
		APPEND(buf_puts(out, text));
		return;
	}
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	APPEND(buf_printf(out, "%s.%06u", text, (unsigned)(when % 1000000)));
	strftime(text, sizeof text, "%z", &tm);
	APPEND(buf_printf(out, "%.3s:%s", text, text + 3));
}

/* The name that Postfix's tools know a program under. */
static const char *
tag_of(enum program p)
{
	return p == PROGRAM_REMOTE ? "smtp" : program_name(p);
}

static void
add_tag(const struct logger *l, const struct service_partner *from, struct buf *out)
{
	bool other_smtpd =
	    from->program == PROGRAM_SMTPD && !str_is(str_from(from->service), "smtp");

	APPEND(buf_printf(out, "%s%s%s/%s[%" PRIu64 "]: ", l->conf->common.syslog_name,
	    other_smtpd ? "/" : "", other_smtpd ? from->service : "", tag_of(from->program),
	    from->pid));
}

/* The system's log takes the traditional stamp and no host. `rest` begins with the tag. */
static void
write_syslog(struct logger *l, enum log_level level, uint64_t when, struct str rest)
{
	static const int severities[] = {[LOG_LEVEL_DEBUG] = 7,
	    [LOG_LEVEL_INFO] = 6,
	    [LOG_LEVEL_WARNING] = 4,
	    [LOG_LEVEL_ERROR] = 3};
	struct buf line = {.max = 32 * 1024};
	time_t seconds = (time_t)(when / 1000000);
	struct tm tm;
	char stamp[32];

	localtime_r(&seconds, &tm);
	strftime(stamp, sizeof stamp, "%b %e %H:%M:%S ", &tm);
	APPEND(buf_puts(&line, stamp));
	APPEND(buf_str(&line, rest));
	syslog_line(l, severities[level], buf_view(&line));
	buf_free(&line);
}

static char *
render_text(struct logger *l, const struct service_partner *from, const struct log_form *form,
    const void *record, uint64_t when, size_t *tag)
{
	struct buf out = {.max = LINE_MAX_BYTES};

	add_time(l, when, &out);
	APPEND(buf_printf(&out, " %s ", l->host));
	*tag = out.n;
	add_tag(l, from, &out);
	log_render_text(form, record, &out);
	return buf_steal(&out);
}

static char *
render_json(struct logger *l, const struct service_partner *from, const struct log_form *form,
    const void *record, uint64_t when, uint64_t trace)
{
	static const char *const levels[] = {"debug", "info", "warning", "error"};
	struct buf out = {.max = LINE_MAX_BYTES};
	time_t seconds = (time_t)(when / 1000000);
	struct tm tm;
	char text[64];

	if (l->json.fd == -1)
		return NULL;
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	APPEND(
	    buf_printf(&out, "{\"time\":\"%s.%06uZ\",\"host\":", text, (unsigned)(when % 1000000)));
	log_json_text(str_from(l->host), &out);
	APPEND(buf_printf(&out, ",\"program\":\"%s\",\"service\":", program_name(from->program)));
	log_json_text(str_from(from->service), &out);
	APPEND(buf_printf(&out, ",\"pid\":%" PRIu64 ",\"level\":\"%s\",\"event\":\"%s\"", from->pid,
	    levels[form->level], form->type.name));
	if (trace != 0)
		APPEND(buf_printf(&out, ",\"trace\":\"%016" PRIx64 "\"", trace));
	log_render_json(form, record, &out);
	APPEND(buf_byte(&out, '}'));
	return buf_steal(&out);
}

void
line_add(
    struct logger *l, const struct service_partner *from, uint64_t trace, const struct msg_log *msg)
{
	union {
#define MEMBER(CONSTANT, tag, level, text) struct ev_##tag tag;
		EVENTS(MEMBER)
#undef MEMBER
	} record;
	const struct log_form *form = msg->event < EV_COUNT ? log_form((unsigned)msg->event) : NULL;
	struct why why;

	if (form == NULL || wire_decode(&form->type, msg->record, NULL, 0, &record, &why) == -1) {
		form = log_form(EV_WARNING);
		record.warning =
		    (struct ev_warning){.text = STR("a log event that cannot be read")};
	}
	if (l->nlines == l->lines_size) {
		l->lines_size = l->lines_size != 0 ? l->lines_size * 2 : 64;
		l->lines = xrealloc(l->lines, l->lines_size * sizeof *l->lines);
	}
	struct line *line = &l->lines[l->nlines++];
	*line = (struct line){.when = msg->when, .number = l->number++, .level = form->level};
	line->text = render_text(l, from, form, &record, msg->when, &line->tag);
	line->json = render_json(l, from, form, &record, msg->when, trace);
}

static int
by_time(const void *a, const void *b)
{
	const struct line *x = a, *y = b;

	if (x->when != y->when)
		return x->when < y->when ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

static void
write_line(struct logger *l, struct line *line)
{
	if (l->text.fd != -1)
		APPEND(buf_printf(&l->text.text, "%s\n", line->text));
	if (line->json != NULL)
		APPEND(buf_printf(&l->json.text, "%s\n", line->json));
	if (l->conf->syslog)
		write_syslog(
		    l, line->level, line->when, str_from_at(str_from(line->text), line->tag));
	free(line->text);
	free(line->json);
}

void
lines_write(struct logger *l, uint64_t when)
{
	size_t n = 0;

	if (l->nlines == 0)
		return;
	qsort(l->lines, l->nlines, sizeof *l->lines, by_time);
	while (n < l->nlines && l->lines[n].when < when)
		write_line(l, &l->lines[n++]);
	l->nlines -= n;
	memmove(l->lines, l->lines + n, l->nlines * sizeof *l->lines);
}
