/* SPDX-License-Identifier: ISC */
/*
 * The queue as people and tools know it: Postfix's layout for long queue ids to the letter, or a
 * line of JSON a message with `postqueue -j`'s fields and more. Rows are printed as they come;
 * nothing is kept but the sums.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "sendmail-compat/sendmail.h"

#define ROW_FORMAT "%-17s %8s %-19s %s\n"
#define ENTRY_FORMAT "%-17s %8" PRIu64 " %.19s %s\n"

enum { TIMEOUT_MS = 60 * 1000, REASON_COLUMN = 76 };

struct listing {
	bool json;
	uint64_t messages, bytes;
	size_t recipients; /* of the present message */
	struct buf reason; /* the last one printed */
	struct buf line;
};

/* --- JSON --- */

static void
add_member(struct buf *line, const char *name, struct str value)
{
	(void)!buf_printf(
	    line, "\"%s\": ", name); /* a row's bounds keep the line far below the buffer's */
	log_json_text(value, line);
}

static void
json_end(struct listing *l)
{
	if (l->line.n == 0)
		return;
	printf("%s]}\n", buf_cstr(&l->line));
	buf_reset(&l->line);
}

static void
json_entry(struct listing *l, const struct msg_queue_entry *e)
{
	json_end(l);
	(void)!buf_puts(&l->line, "{");
	add_member(&l->line, "queue_name", e->queue);
	(void)!buf_puts(&l->line, ", ");
	add_member(&l->line, "queue_id", e->id);
	(void)!buf_printf(&l->line,
	    ", \"arrival_time\": %" PRIu64 ", \"message_size\": %" PRIu64
	    ", \"forced_expire\": %s, \"next_attempt\": %" PRIu64 ", \"attempts\": %" PRIu64 ", ",
	    e->arrived / 1000000, e->size, e->expired ? "true" : "false", e->next / 1000000,
	    e->attempts);
	add_member(&l->line, "sender", e->sender.n > 0 ? e->sender : STR("MAILER-DAEMON"));
	(void)!buf_puts(&l->line, ", \"recipients\": [");
}

static void
json_recipient(struct listing *l, const struct msg_queue_rcpt *r)
{
	(void)!buf_puts(&l->line, l->recipients > 0 ? ", {" : "{");
	if (r->original.n > 0) {
		add_member(&l->line, "orig_address", r->original);
		(void)!buf_puts(&l->line, ", ");
	}
	add_member(&l->line, "address", r->address);
	if (r->reason.n > 0) {
		(void)!buf_puts(&l->line, ", ");
		add_member(&l->line, "delay_reason", r->reason);
	}
	(void)!buf_puts(&l->line, ", ");
	add_member(&l->line, "transport", r->transport);
	(void)!buf_puts(&l->line, ", ");
	add_member(&l->line, "next_hop", r->nexthop);
	(void)!buf_puts(&l->line, "}");
	if (l->line.n > l->line.max / 2) { /* a message with very many recipients: as it goes */
		fputs(buf_cstr(&l->line), stdout);
		buf_reset(&l->line);
	}
}

/* --- Postfix's layout --- */

/* Whatever is not printable comes out as '?': a terminal is somebody's, too. */
static void
printable(struct str s, char *out, size_t size)
{
	size_t n = s.n < size - 1 ? s.n : size - 1;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		out[i] = c < ' ' || c == 0x7f ? '?' : s.p[i];
	}
	out[n] = '\0';
}

static void
text_entry(struct listing *l, const struct msg_queue_entry *e)
{
	char id[MSG_ID_MAX + 3], sender[MSG_ADDRESS_MAX + 1], when[32];
	time_t seconds = (time_t)(e->arrived / 1000000);
	struct tm tm;

	if (l->messages > 0)
		printf("\n");
	else
		printf(ROW_FORMAT, "----Queue ID-----", "--Size--", "---Arrival Time----",
		    "--Sender/Recipient------");
	snprintf(id, sizeof id, "%.*s%s%s", STR_ARG(e->id),
	    str_is(e->queue, "active") ? "*"
	    : str_is(e->queue, "hold") ? "!"
				       : "",
	    e->expired ? "#" : "");
	printable(e->sender.n > 0 ? e->sender : STR("MAILER-DAEMON"), sender, sizeof sender);
	localtime_r(&seconds, &tm);
	strftime(when, sizeof when, "%a %b %e %H:%M:%S", &tm);
	printf(ENTRY_FORMAT, id, e->size, when, sender);
	buf_reset(&l->reason);
}

static void
text_recipient(struct listing *l, const struct msg_queue_rcpt *r)
{
	char text[MSG_TEXT_MAX + 1];

	if (r->reason.n > 0 && !str_eq(r->reason, buf_view(&l->reason))) {
		buf_reset(&l->reason);
		(void)!buf_str(&l->reason, r->reason); /* as large as a reason can be */
		printable(r->reason, text, sizeof text);
		int padding = REASON_COLUMN - (int)strlen(text);
		printf("%*s(%s)\n", padding > 0 ? padding : 0, "", text);
	}
	printable(r->address, text, sizeof text);
	printf(ROW_FORMAT, "", "", "", text);
}

/* --- both --- */

static void
on_entry(struct listing *l, const struct msg_queue_entry *e)
{
	if (l->json)
		json_entry(l, e);
	else
		text_entry(l, e);
	l->messages++;
	l->bytes += e->size;
	l->recipients = 0;
}

static void
on_recipient(struct listing *l, const struct msg_queue_rcpt *r)
{
	if (l->json)
		json_recipient(l, r);
	else
		text_recipient(l, r);
	l->recipients++;
}

static void
finish(struct listing *l)
{
	if (l->json)
		json_end(l);
	else if (l->messages == 0)
		printf("Mail queue is empty\n");
	else
		printf("\n-- %" PRIu64 " Kbytes in %" PRIu64 " Request%s.\n", l->bytes / 1024,
		    l->messages, l->messages == 1 ? "" : "s");
}

static int
receive_rows(struct chan_client *c, struct listing *l, struct why *why)
{
	struct chan_head head;
	union msg_any *msg;

	for (;;) {
		int got = chan_client_receive(c, TIMEOUT_MS, &head, &msg, why);
		if (got == 0)
			return why_temp(why, "4.3.0", "the mail system went away");
		if (got == -1)
			return -1;
		if (head.type == MSG_QUEUE_ENTRY)
			on_entry(l, &msg->queue_entry);
		else if (head.type == MSG_QUEUE_RCPT)
			on_recipient(l, &msg->queue_rcpt);
		else if (head.type == MSG_DONE)
			return 0;
		else if (head.type == MSG_REFUSED) {
			why_from_msg(why, &msg->refused);
			return -1;
		}
	}
}

int
mailq(const struct options *o, const struct layout *layout)
{
	struct why why = {0};
	struct listing l = {
	    .json = o->json, .reason = {.max = MSG_TEXT_MAX}, .line = {.max = 256 * 1024}};
	struct msg_queue_list request = {0};
	struct chan_client *c = submit_connect(layout, "queue", &why);
	int status = EX_OK;

	if (c == NULL) {
		complain(o->name, "Queue report unavailable - mail system is down");
		return EX_UNAVAILABLE;
	}
	if (chan_client_send(c, 1, MSG_QUEUE_LIST, &request, &why) == -1 ||
	    receive_rows(c, &l, &why) == -1) {
		complain(o->name, why.text);
		status = exit_status(&why);
	} else {
		finish(&l);
	}
	chan_client_free(&c);
	buf_free(&l.reason);
	buf_free(&l.line);
	return status;
}

int
flush(const struct options *o, const struct layout *layout)
{
	struct why why = {0};
	struct msg_queue_act request = {.action = STR("flush"), .id = str_from(o->flush_id)};
	struct chan_client *c = submit_connect(layout, "queue", &why);
	struct listing l = {.json = true, .line = {.max = 4096}};
	int status = EX_OK;

	if (c == NULL) {
		complain(o->name, "Cannot flush mail queue - mail system is down");
		return EX_TEMPFAIL;
	}
	if (chan_client_send(c, 1, MSG_QUEUE_ACT, &request, &why) == -1 ||
	    receive_rows(c, &l, &why) == -1) {
		complain(o->name, why.text);
		status = exit_status(&why);
	}
	chan_client_free(&c);
	buf_free(&l.line);
	return status;
}
