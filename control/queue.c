/* SPDX-License-Identifier: ISC */
/* queue: listing, showing and acting on what waits, by id or by a filter; qmgr does the work and
 * decides who may. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "control/kingpost.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/log/log.h"
#include "lib/queue/entry.h"
#include "lib/queue/envelope.h"
#include "lib/queue/head.h"
#include "lib/queue/qfile.h"

/* --- the filter --- */

struct filter {
	struct msg_queue_list list;
	bool json;
	char **ids;
	int nids;
};

static bool
parse_age(const char *text, uint64_t *seconds)
{
	struct why why;
	int64_t ms;
	const struct setting row = {.name = "age", .type = SETTING_TIME, .max = INT64_MAX};

	if (setting_set(&row, &ms, str_from(text), &why) == -1) {
		complain("%s", why.text);
		return false;
	}
	*seconds = (uint64_t)ms / 1000;
	return true;
}

static bool
set_filter(struct filter *f, const char *option, const char *value)
{
	const struct {
		const char *name;
		struct str *text;
		uint64_t *age;
	} rows[] = {
	    {"--sender",    &f->list.sender,    NULL            },
	    {"--recipient", &f->list.recipient, NULL            },
	    {"--queue",     &f->list.queue,     NULL            },
	    {"--reason",    &f->list.reason,    NULL            },
	    {"--older",     NULL,               &f->list.older  },
	    {"--younger",   NULL,               &f->list.younger},
	};

	for (size_t i = 0; i < NELEM(rows); i++) {
		if (strcmp(option, rows[i].name) != 0)
			continue;
		if (rows[i].age != NULL)
			return parse_age(value, rows[i].age);
		*rows[i].text = str_from(value);
		return true;
	}
	return strcmp(option, "--limit") == 0 &&
	       str_u64(str_from(value), UINT64_MAX, &f->list.limit);
}

/* Options first, ids behind them. False: usage. */
static bool
parse_filter(struct filter *f, int argc, char **argv)
{
	int i = 1;

	*f = (struct filter){0};
	for (; i < argc && argv[i][0] == '-' && argv[i][1] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0)
			f->json = true;
		else if (i + 1 >= argc || !set_filter(f, argv[i], argv[i + 1]))
			return false;
		else
			i++;
	}
	f->ids = argv + i;
	f->nids = argc - i;
	return true;
}

static bool
has_condition(const struct filter *f)
{
	const struct msg_queue_list *l = &f->list;

	return l->sender.n + l->recipient.n + l->queue.n + l->reason.n > 0 ||
	       l->older + l->younger > 0;
}

/* --- list and show --- */

struct view {
	bool json, detail, first_recipient;
	uint64_t messages;
	struct buf line;
};

static void
when_text(uint64_t us, char *out, size_t size)
{
	time_t seconds = (time_t)(us / 1000000);
	struct tm tm;

	out[0] = '-';
	out[1] = '\0';
	if (us == 0)
		return;
	localtime_r(&seconds, &tm);
	strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm);
}

static void
print_visible(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		putchar(c < ' ' || c == 0x7f ? '?' : s.p[i]);
	}
}

static void
end_json(struct view *v)
{
	if (v->json && v->messages > 0)
		printf("]}\n");
}

static void
show_entry(struct view *v, const struct msg_queue_entry *e)
{
	char arrived[32], next[32];

	end_json(v);
	v->messages++;
	v->first_recipient = true;
	if (v->json) {
		buf_reset(&v->line);
		log_json_text(e->sender, &v->line);
		printf(
		    "{\"queue_name\": \"%.*s\", \"queue_id\": \"%.*s\", \"arrival_time\": %" PRIu64
		    ", \"message_size\": %" PRIu64
		    ", \"forced_expire\": %s, \"next_attempt\": %" PRIu64 ", \"attempts\": %" PRIu64
		    ", \"sender\": %s, \"recipients\": [",
		    STR_ARG(e->queue), STR_ARG(e->id), e->arrived / 1000000, e->size,
		    e->expired ? "true" : "false", e->next / 1000000, e->attempts,
		    buf_cstr(&v->line));
		return;
	}
	when_text(e->arrived, arrived, sizeof arrived);
	when_text(e->next, next, sizeof next);
	printf("%.*s %.*s %" PRIu64 " bytes, arrived %s, attempts %" PRIu64 ", next %s, from <",
	    STR_ARG(e->id), STR_ARG(e->queue), e->size, arrived, e->attempts, next);
	print_visible(e->sender);
	printf(">\n");
	if (e->reason.n > 0) {
		printf("    held: ");
		print_visible(e->reason);
		putchar('\n');
	}
}

static void
show_recipient(struct view *v, const struct msg_queue_rcpt *r)
{
	static const char *const names[] = {
	    "waits", "sent", "relayed", "expanded", "deferred", "bounced"};
	const char *status = r->status < NELEM(names) ? names[r->status] : "?";

	if (v->json) {
		buf_reset(&v->line);
		(void)!buf_puts(
		    &v->line, "{\"address\": "); /* a row's bounds keep it far below the buffer's */
		log_json_text(r->address, &v->line);
		(void)!buf_puts(&v->line, ", \"delay_reason\": ");
		log_json_text(r->reason, &v->line);
		(void)!buf_puts(&v->line, ", \"next_hop\": ");
		log_json_text(r->nexthop, &v->line);
		printf("%s%s, \"transport\": \"%.*s\", \"status\": \"%s\"}",
		    v->first_recipient ? "" : ", ", buf_cstr(&v->line), STR_ARG(r->transport),
		    status);
		v->first_recipient = false;
		return;
	}
	printf("    to <");
	print_visible(r->address);
	printf("> by %.*s:", STR_ARG(r->transport));
	print_visible(r->nexthop);
	printf(", %s", status);
	if (r->reason.n > 0) {
		printf(": ");
		print_visible(r->reason);
	}
	putchar('\n');
}

static void
on_row(void *arg, enum msg_type type, union msg_any *msg)
{
	if (type == MSG_QUEUE_ENTRY)
		show_entry(arg, &msg->queue_entry);
	else if (type == MSG_QUEUE_RCPT)
		show_recipient(arg, &msg->queue_rcpt);
}

static int
list(struct kingpost *k, struct filter *f, struct view *v)
{
	struct why why;
	struct chan_client *c = client_connect(k, "queue", &why);
	int result = c != NULL ? 0 : -1;

	buf_init(&v->line, 64 * 1024);
	if (f->nids == 0 && result == 0)
		result = client_ask(c, MSG_QUEUE_LIST, &f->list, on_row, v, NULL, &why);
	for (int i = 0; i < f->nids && result == 0; i++) {
		f->list.id = str_from(f->ids[i]);
		result = client_ask(c, MSG_QUEUE_LIST, &f->list, on_row, v, NULL, &why);
	}
	end_json(v);
	buf_free(&v->line);
	chan_client_free(&c);
	if (result == 0)
		return EX_OK;
	complain("%s", why.text);
	return exit_status(&why);
}

int
cmd_queue_list(struct kingpost *k, int argc, char **argv)
{
	struct filter f;
	struct view v = {0};

	if (!parse_filter(&f, argc, argv))
		return EX_USAGE;
	v.json = f.json;
	return list(k, &f, &v);
}

int
cmd_queue_show(struct kingpost *k, int argc, char **argv)
{
	struct filter f;
	struct view v = {.detail = true};

	if (!parse_filter(&f, argc, argv) || f.nids == 0)
		return EX_USAGE;
	v.json = f.json;
	int status = list(k, &f, &v);
	if (status != EX_OK || v.messages > 0)
		return status;
	complain("there is no such message");
	return EX_UNAVAILABLE;
}

/* --- acting --- */

static int
act_once(struct chan_client *c, const char *action, const struct msg_queue_list *l, uint64_t *total,
    struct why *why)
{
	struct msg_queue_act request = {
	    .action = str_from(action),
	    .id = l->id,
	    .sender = l->sender,
	    .recipient = l->recipient,
	    .queue = l->queue,
	    .reason = l->reason,
	    .older = l->older,
	    .younger = l->younger,
	    .limit = l->limit,
	};
	uint64_t count = 0;

	if (client_ask(c, MSG_QUEUE_ACT, &request, NULL, NULL, &count, why) == -1)
		return -1;
	*total += count;
	return 0;
}

/* argv[0] is the action's name. What acts on the whole queue must say --all, but for flush. */
int
cmd_queue_act(struct kingpost *k, int argc, char **argv)
{
	struct filter f;
	struct why why;
	uint64_t total = 0;
	const char *action = argv[0];
	bool all = argc == 2 && strcmp(argv[1], "--all") == 0;

	if (all)
		f = (struct filter){0};
	else if (!parse_filter(&f, argc, argv) || f.json)
		return EX_USAGE;
	if (!all && f.nids == 0 && !has_condition(&f) && strcmp(action, "flush") != 0) {
		complain("queue %s: which messages? Give ids, a filter such as --sender, or --all",
		    action);
		return EX_USAGE;
	}
	struct chan_client *c = client_connect(k, "queue", &why);
	int result = c != NULL ? 0 : -1;
	if (f.nids == 0 && result == 0)
		result = act_once(c, action, &f.list, &total, &why);
	for (int i = 0; i < f.nids && result == 0; i++) {
		f.list.id = str_from(f.ids[i]);
		result = act_once(c, action, &f.list, &total, &why);
	}
	chan_client_free(&c);
	if (result == -1) {
		complain("%s", why.text);
		return exit_status(&why);
	}
	printf("%s: %" PRIu64 " message%s\n", action, total, total == 1 ? "" : "s");
	return total > 0 || f.nids == 0 ? EX_OK : EX_UNAVAILABLE;
}

/* --- cat --- */

static void
print_field(const char *name, struct str value)
{
	if (value.n == 0)
		return;
	printf("%-12s ", name);
	print_visible(value);
	putchar('\n');
}

static void
print_envelope(const struct head *h, const struct envelope *e)
{
	char when[32];

	when_text(h->arrived, when, sizeof when);
	printf("*** ENVELOPE %s ***\n", h->id);
	print_field("arrived", str_from(when));
	printf("%-12s %" PRIu64 "\n", "size", h->content_size);
	printf("%-12s <", "sender");
	print_visible(e->sender);
	printf(">\n");
	print_field("client", e->client_name);
	print_field("address", e->client_addr);
	print_field("helo", e->helo);
	print_field("protocol", e->proto);
	print_field("login", e->login);
	print_field("origin", e->origin);
	print_field("envid", e->envid);
	print_field("parent", e->parent);
	printf("%-12s %016" PRIx64 "\n", "trace", e->trace);
	for (size_t i = 0; i < e->nrcpts; i++) {
		const struct envelope_rcpt *r = &e->rcpts[i];
		printf("%-12s %zu <", "recipient", i);
		print_visible(r->address);
		printf("> %.*s:", STR_ARG(r->transport));
		print_visible(r->nexthop);
		putchar('\n');
	}
}

static void
print_entries(struct str bytes, uint64_t key, uint64_t base)
{
	static const char *const kinds[] = {
	    "?", "result", "notified", "child", "schedule", "recipient", "edit", "done", "moved"};
	struct entry e;
	size_t at = 0;

	while (entry_decode(bytes, key, base, &at, &e) == 1) {
		char when[32];
		when_text(e.when, when, sizeof when);
		printf("%s %s recipient %" PRIu64 " status %" PRIu64 " %.*s ", when,
		    e.kind < NELEM(kinds) ? kinds[e.kind] : "?", e.index, e.status,
		    STR_ARG(e.code));
		print_visible(e.text);
		putchar('\n');
	}
}

static int
print_message(struct str bytes, struct why *why)
{
	struct head h;
	struct envelope e = {0};

	if (bytes.n < HEAD_SIZE)
		return why_perm(why, NULL, "the message is cut");
	if (head_decode((const unsigned char *)bytes.p, &h, why) == -1)
		return -1;
	if (head_total(&h) > bytes.n)
		return why_perm(why, NULL, "the message is cut");
	struct str content = str_sub(bytes, HEAD_SIZE, h.content_size);
	struct str envelope = str_sub(bytes, HEAD_SIZE + h.content_size, h.envelope_size);
	if (head_sum(envelope.p, envelope.n) != h.envelope_sum)
		return why_perm(why, NULL, "the envelope's checksum is wrong");
	if (envelope_decode(&e, envelope, h.content_size, why) == -1)
		return -1;
	print_envelope(&h, &e);
	uint64_t entries = qfile_entries_at(&h);
	if (entries < bytes.n) {
		printf("*** ENTRIES ***\n");
		print_entries(str_from_at(bytes, entries), qfile_key(&h), entries);
	}
	printf("*** CONTENT%s ***\n",
	    head_sum(content.p, content.n) == h.content_sum ? "" : " (its checksum is wrong)");
	fwrite(content.p, 1, content.n, stdout);
	printf("*** END ***\n");
	envelope_clear(&e);
	return 0;
}

struct cat {
	int fd;
	uint64_t offset, length;
};

static void
on_file(void *arg, enum msg_type type, union msg_any *msg)
{
	struct cat *cat = arg;

	if (type == MSG_QUEUE_FILE)
		*cat = (struct cat){chan_take_fd(&msg->queue_file.file), msg->queue_file.offset,
		    msg->queue_file.length};
}

static int
print_extent(const struct cat *cat, struct why *why)
{
	struct stat st;

	if (fstat(cat->fd, &st) == -1)
		return why_sys(why, NULL, "stat");
	uint64_t end = cat->length != 0 ? cat->offset + cat->length : (uint64_t)st.st_size;
	if (end > (uint64_t)st.st_size || cat->offset >= end)
		return why_perm(why, NULL, "the message is cut");
	char *map = mmap(NULL, end, PROT_READ, MAP_PRIVATE, cat->fd, 0);
	if (map == MAP_FAILED)
		return why_sys(why, NULL, "map the message");
	int result = print_message(str_make(map + cat->offset, end - cat->offset), why);
	munmap(map, end);
	return result;
}

int
cmd_queue_cat(struct kingpost *k, int argc, char **argv)
{
	struct why why;
	struct cat cat = {.fd = -1};
	struct chan_client *c;

	if (argc != 2)
		return EX_USAGE;
	struct msg_queue_cat request = {.id = str_from(argv[1])};
	c = client_connect(k, "queue", &why);
	int result =
	    c != NULL ? client_ask(c, MSG_QUEUE_CAT, &request, on_file, &cat, NULL, &why) : -1;
	chan_client_free(&c);
	if (result == 0 && cat.fd == -1)
		result = why_perm(&why, NULL, "there is no such message");
	if (result == 0)
		result = print_extent(&cat, &why);
	if (cat.fd != -1)
		close(cat.fd);
	if (result == 0)
		return EX_OK;
	complain("%s", why.text);
	return exit_status(&why);
}
