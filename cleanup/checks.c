/* SPDX-License-Identifier: ISC */
/*
 * Lines go to router many at a time and come back in any order; they are acted on in the order of
 * the message. Invariant: `lines` holds what has not been acted on, the first of it is not answered
 * yet; `changes` are in the order of their places. Places are those of the content as it came in,
 * of which `text` holds what comes at `base` and behind.
 *
 * What is not judged yet stays in memory; a file gets it with all changes made.
 */
#include "cleanup/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup/cleanup.h"
#include "cleanup/edits.h"
#include "cleanup/intake.h"
#include "cleanup/mime.h"
#include "cleanup/recipients.h"
#include "cleanup/transaction.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/log/log.h"
#include "lib/mail/header.h"

enum {
	IN_FLIGHT_MAX = 256,
	BUSY_LINES = 2000, /* so many wait: no more content is read */
	BUSY_OCTETS = 512 * 1024,
	CHANGES_MAX = 100000,
	LINE_SHOWN = 200,
};

struct check_line {
	enum mime_kind kind;
	bool whole, sent, answered;
	uint64_t offset, size;
	char *text;
	size_t n, table;
	uint32_t id;
	char *action; /* NULL: no table says anything */
	struct checks *checks;
	TAILQ_ENTRY(check_line) link;
};

struct change {
	uint64_t offset, size;
	char *text;
};

struct checks {
	struct transaction *t;
	struct mime mime;
	struct chan *router; /* the same one for all lines */
	TAILQ_HEAD(, check_line) lines;
	size_t nlines, in_flight;
	bool passed; /* PASS: no more is looked at */
	struct change *changes;
	size_t nchanges, size, made; /* the first `made` are done */
	struct buf *text;
	uint64_t base;
};

static const struct setting_list *
tables_of(const struct cleanup_conf *conf, enum mime_kind kind)
{
	switch (kind) {
	case MIME_HEADER:
		return &conf->header_checks;
	case MIME_PART_HEADER:
		return &conf->mime_header_checks;
	case MIME_NESTED_HEADER:
		return &conf->nested_header_checks;
	case MIME_MILTER_HEADER:
		return &conf->milter_header_checks;
	case MIME_BODY:
	case MIME_KINDS:
		break;
	}
	return &conf->body_checks;
}

/* --- lines --- */

static void
line_free(struct checks *k, struct check_line *line)
{
	if (line->sent && !line->answered && k->router != NULL)
		chan_forget(k->router, line->id);
	if (line->sent && !line->answered)
		k->in_flight--;
	TAILQ_REMOVE(&k->lines, line, link);
	k->nlines--;
	free(line->text);
	free(line->action);
	free(line);
}

static bool
on_line(void *arg, const struct mime_line *l)
{
	struct checks *k = arg;
	const struct cleanup_conf *conf = k->t->c->conf;
	struct str text = str_sub(l->text, 0, MSG_LINE_MAX);

	if (k->passed)
		return false;
	if (tables_of(conf, l->kind)->n == 0 || text.n == 0 ||
	    (l->kind == MIME_BODY && l->body_offset >= (uint64_t)conf->body_checks_size_limit))
		return true;
	struct check_line *line = xcalloc(1, sizeof *line);
	*line = (struct check_line){
	    .kind = l->kind,
	    .whole = l->whole,
	    .offset = l->offset,
	    .size = l->size,
	    .text = str_dup(text),
	    .n = text.n,
	    .checks = k,
	};
	TAILQ_INSERT_TAIL(&k->lines, line, link);
	k->nlines++;
	return true;
}

/* --- what an action does --- */

static void
log_action(
    const struct transaction *t, const char *word, const struct check_line *line, struct str text)
{
	char shown[LINE_SHOWN + 1], origin[360];
	size_t n = line->n < LINE_SHOWN ? line->n : LINE_SHOWN;
	const char *proto = tx_text(t, t->proto), *helo = tx_text(t, t->helo);

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)line->text[i];
		shown[i] = c == '\n' || c == '\t' ? ' ' : c < ' ' || c == 0x7f ? '?' : (char)c;
	}
	shown[n] = '\0';
	if (*tx_text(t, t->client_addr) != '\0' && (t->env.flags & MAIL_LOCAL) == 0)
		snprintf(origin, sizeof origin, "%s[%s]", tx_text(t, t->client_name),
		    tx_text(t, t->client_addr));
	else
		snprintf(origin, sizeof origin, "local");
	struct str to = recipients_shown(t);
	log_info("%s: %s%s: %s %s from %s; from=<%s>%s%.*s%s%s%s%s%s%s%s%.*s", t->id,
	    line->kind == MIME_MILTER_HEADER ? "milter-header-" : "", word,
	    line->kind == MIME_BODY ? "body" : "header", shown, origin, tx_text(t, t->sender),
	    to.n > 0 ? " to=<" : "", STR_ARG(to), to.n > 0 ? ">" : "",
	    *proto != '\0' ? " proto=" : "", proto, *helo != '\0' ? " helo=<" : "", helo,
	    *helo != '\0' ? ">" : "", text.n > 0 ? ": " : "", STR_ARG(text));
}

static int
broken(const struct check_line *line, struct str action, const char *what, struct why *why)
{
	log_warning("%s: %s: \"%.*s\"",
	    line->kind == MIME_BODY            ? "body_checks"
	    : line->kind == MIME_MILTER_HEADER ? "milter_header_checks"
					       : "header_checks",
	    what, STR_ARG(action));
	return why_temp(why, "4.3.5", "Server configuration error");
}

static int
change_add(struct checks *k, uint64_t offset, uint64_t size, char *text, struct why *why)
{
	if (k->nchanges >= CHANGES_MAX) {
		free(text);
		return why_temp(why, "4.3.0", "too many changes to one message");
	}
	if (k->nchanges == k->size) {
		k->size = k->size == 0 ? 8 : k->size * 2;
		k->changes = xrealloc(k->changes, size_mul(k->size, sizeof *k->changes));
	}
	k->changes[k->nchanges++] = (struct change){offset, size, text};
	return 0;
}

/* The table's text as a line of the message: what a pattern has taken from a folded field keeps its
 * folds, and nothing in it can begin another field or end the header. */
static char *
line_text(struct str value, bool line_end)
{
	struct buf b;

	buf_init(&b, 3 * value.n + 3);
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];
		bool fold = i + 1 < value.n && (value.p[i + 1] == ' ' || value.p[i + 1] == '\t');
		int rc = c == '\r' || c == '\0' ? 0
			 : c == '\n'            ? buf_puts(&b, fold ? "\r\n" : "\r\n\t")
						: buf_byte(&b, c);
		if (rc == -1)
			panic("checks: a line larger than its bound");
	}
	if (line_end && buf_puts(&b, "\r\n") == -1)
		panic("checks: a line larger than its bound");
	return buf_steal(&b);
}

static bool
is_field(struct str text)
{
	ptrdiff_t colon = str_chr(text, ':');

	for (ptrdiff_t i = 0; i < colon; i++)
		if (text.p[i] <= ' ' || text.p[i] >= 0x7f)
			return false;
	return colon > 0;
}

typedef int action_fn(struct checks *k, struct check_line *line, struct str text, struct why *why);

static int
act_reject(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	struct str rest = text, word = STR_EMPTY;
	char code[MSG_CODE_MAX + 1];

	/* a code of its own: "5.7.9 text" */
	bool has_code = str_word(&rest, " \t", &word) && word.n >= 5 && word.p[0] == '5' &&
			word.p[1] == '.' && word.p[2] >= '0' && word.p[2] <= '9' &&
			str_copy(code, sizeof code, word);
	if (!has_code)
		snprintf(code, sizeof code, "5.7.1");
	else
		text = str_trim(rest);
	if (text.n == 0)
		text = STR("message content rejected");
	why_perm(why, code, "%.*s", STR_ARG(text));
	why->smtp = 550;
	char said[MSG_TEXT_MAX + MSG_CODE_MAX + 4];
	snprintf(said, sizeof said, "%s %s", code, why->text);
	log_action(k->t, "reject", line, str_from(said));
	return -1;
}

static int
act_warn(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	(void)why;
	log_action(k->t, "warning", line, text);
	return 0;
}

static int
act_info(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	(void)why;
	log_action(k->t, "info", line, text);
	return 0;
}

static int
act_ignore(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	(void)text;
	return change_add(k, line->offset, line->size, NULL, why);
}

static int
act_strip(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	log_action(k->t, "strip", line, text);
	return change_add(k, line->offset, line->size, NULL, why);
}

static int
act_replace(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	if (text.n == 0 || (line->kind != MIME_BODY && !is_field(text)))
		return broken(line, text, "REPLACE action without a valid line", why);
	log_action(k->t, "replace", line, text);
	return change_add(k, line->offset, line->size, line_text(text, line->whole), why);
}

static int
act_prepend(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	if (text.n == 0 || (line->kind != MIME_BODY && !is_field(text)))
		return broken(line, text, "PREPEND action without a valid line", why);
	log_action(k->t, "prepend", line, text);
	return change_add(k, line->offset, 0, line_text(text, true), why);
}

static int
act_pass(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	(void)why;
	log_action(k->t, "pass", line, text);
	k->passed = true;
	return 0;
}

static int
act_dunno(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	(void)k;
	(void)line;
	(void)text;
	(void)why;
	return 0;
}

static int
act_hold(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	log_action(k->t, "hold", line, text);
	return edits_add(k->t, EDIT_HOLD, STR_EMPTY,
	    text.n > 0 ? text : STR("held by header or body checks"), why);
}

static int
act_discard(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	log_action(k->t, "discard", line, text);
	k->passed = true;
	return edits_add(k->t, EDIT_DISCARD, STR_EMPTY, text, why);
}

static int
act_filter(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	if (str_chr(text, ':') <= 0)
		return broken(line, text, "FILTER action without transport:destination", why);
	log_action(k->t, "filter", line, text);
	return edits_add(k->t, EDIT_FILTER, text, STR_EMPTY, why);
}

static int
act_redirect(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	if (str_chr(text, '@') < 0)
		return broken(line, text, "REDIRECT action without user@domain", why);
	log_action(k->t, "redirect", line, text);
	return edits_add(k->t, EDIT_REDIRECT, text, STR_EMPTY, why);
}

static int
act_bcc(struct checks *k, struct check_line *line, struct str text, struct why *why)
{
	if (str_chr(text, '@') < 0)
		return broken(line, text, "BCC action without user@domain", why);
	log_action(k->t, "bcc", line, text);
	return edits_add(k->t, EDIT_BCC, text, STR_EMPTY, why);
}

static const struct {
	const char *word;
	action_fn *act;
} actions[] = {
    {"BCC",      act_bcc     },
    {"DISCARD",  act_discard },
    {"DUNNO",    act_dunno   },
    {"OK",       act_dunno   },
    {"FILTER",   act_filter  },
    {"HOLD",     act_hold    },
    {"IGNORE",   act_ignore  },
    {"INFO",     act_info    },
    {"PASS",     act_pass    },
    {"PREPEND",  act_prepend },
    {"REDIRECT", act_redirect},
    {"REJECT",   act_reject  },
    {"REPLACE",  act_replace },
    {"STRIP",    act_strip   },
    {"WARN",     act_warn    },
};

static int
act(struct checks *k, struct check_line *line, struct why *why)
{
	struct str rest = str_trim(str_from(line->action)), action = rest, word;

	if (k->t->id[0] == '\0' && qid_next(&k->t->c->ids, k->t->id, why) == -1)
		return -1;
	if (!str_word(&rest, " \t", &word))
		return broken(line, action, "an empty action", why);
	for (size_t i = 0; i < NELEM(actions); i++)
		if (str_caseis(word, actions[i].word))
			return actions[i].act(k, line, str_trim(rest), why);
	return broken(line, action, "unknown action", why);
}

/* --- asking --- */

static void on_found(void *arg, const struct chan_head *head, union msg_any *msg);

static int
ask(struct checks *k, struct check_line *line, struct why *why)
{
	const struct setting_list *tables = tables_of(k->t->c->conf, line->kind);
	struct msg_access msg = {
	    .map = str_from(tables->items[line->table]),
	    .kind = ACCESS_LINE,
	    .key = str_make(line->text, line->n),
	};

	if (k->router == NULL)
		k->router = service_peer(k->t->c->service, PROGRAM_ROUTER, k->t->head.trace);
	line->id = k->router == NULL
		       ? 0
		       : chan_call(k->router, k->t->head.trace, MSG_ACCESS, &msg, on_found, line);
	if (line->id == 0)
		return why_temp(why, "4.3.0", "tables cannot be asked");
	line->sent = true;
	k->in_flight++;
	return 0;
}

static int
ask_more(struct checks *k, struct why *why)
{
	struct check_line *line;

	TAILQ_FOREACH (line, &k->lines, link) {
		if (k->in_flight >= IN_FLIGHT_MAX)
			break;
		if (!line->sent && ask(k, line, why) == -1)
			return -1;
	}
	return 0;
}

/* Acts on what is answered, up to the first line that is not. */
static int
act_on_answered(struct checks *k, struct why *why)
{
	struct check_line *line;

	while ((line = TAILQ_FIRST(&k->lines)) != NULL && (line->answered || k->passed)) {
		if (!k->passed && line->action != NULL && act(k, line, why) == -1)
			return -1;
		line_free(k, line);
	}
	return ask_more(k, why);
}

/* 1: the line is answered; 0: the next table is asked; -1: refuse. */
static int
take_answer(
    struct check_line *line, const struct chan_head *head, union msg_any *msg, struct why *why)
{
	struct checks *k = line->checks;

	k->in_flight--;
	line->answered = true;
	if (msg == NULL) {
		k->router = NULL;
		return why_temp(why, "4.3.0", "a table was not answered");
	}
	if (head->type == MSG_REFUSED) {
		why_from_msg(why, &msg->refused);
		why->class = WHY_TEMP;
		return -1;
	}
	if (head->type != MSG_FOUND)
		return why_temp(why, "4.3.0", "router gave no answer to a table's question");
	if (msg->found.found) {
		line->action = str_dup(msg->found.value);
		return 1;
	}
	if (++line->table >= tables_of(k->t->c->conf, line->kind)->n)
		return 1;
	line->answered = line->sent = false;
	return ask(k, line, why);
}

static void
on_found(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct check_line *line = arg;
	struct transaction *t = line->checks->t;
	struct why why = {0};

	int answered = take_answer(line, head, msg, &why);
	if (answered == 0)
		return;
	if (answered == -1 || act_on_answered(t->checks, &why) == -1 ||
	    intake_resume(t, &why) == -1) {
		transaction_refuse(t, &why);
		return;
	}
	if (!checks_pending(t))
		transaction_proceed(t);
}

/* --- the transaction's side --- */

static bool
list_has(const struct setting_list *list, const char *word)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], word) == 0)
			return true;
	return false;
}

static bool
wanted(const struct transaction *t)
{
	const struct cleanup_conf *conf = t->c->conf;
	bool any = false;

	for (enum mime_kind kind = MIME_HEADER; kind <= MIME_BODY; kind++)
		any |= tables_of(conf, kind)->n > 0;
	if (!any || (t->env.flags & MAIL_NO_CHECKS) != 0)
		return false;
	if ((t->env.flags & MAIL_RESUBMIT) == 0)
		return true;
	/* a notice to the postmaster has a sender */
	return (t->env.flags & MAIL_NOTIFICATION) != 0 &&
	       list_has(&conf->internal_mail_filter_classes,
		   *tx_text(t, t->sender) == '\0' ? "bounce" : "notify");
}

void
checks_begin(struct transaction *t)
{
	const struct cleanup_conf *conf = t->c->conf;

	if (!wanted(t))
		return;
	struct checks *k = xcalloc(1, sizeof *k);
	k->t = t;
	k->text = &t->content;
	TAILQ_INIT(&k->lines);
	mime_begin(&k->mime, on_line, k, (size_t)conf->mime_nesting_limit,
	    (size_t)conf->mime_boundary_length_limit, (size_t)conf->common.header_size_limit);
	k->mime.off = conf->disable_mime_input_processing;
	t->checks = k;
}

int
checks_feed(struct transaction *t, struct str bytes, struct why *why)
{
	if (t->checks == NULL)
		return 0;
	mime_feed(&t->checks->mime, bytes);
	return ask_more(t->checks, why);
}

int
checks_end(struct transaction *t, struct why *why)
{
	if (t->checks == NULL)
		return 0;
	mime_end(&t->checks->mime);
	t->checks->mime.stopped = true;
	return ask_more(t->checks, why);
}

bool
checks_pending(const struct transaction *t)
{
	return t->checks != NULL && t->checks->nlines > 0;
}

bool
checks_header_pending(const struct transaction *t)
{
	const struct checks *k = t->checks;

	if (k == NULL || k->passed)
		return false;
	const struct check_line *first = TAILQ_FIRST(&k->lines);
	return k->mime.header_end == UINT64_MAX ||
	       (first != NULL && first->offset < k->mime.header_end);
}

bool
checks_busy(const struct transaction *t)
{
	const struct checks *k = t->checks;

	return k != NULL &&
	       (k->nlines >= BUSY_LINES || (k->nlines > 0 && t->content.n > BUSY_OCTETS));
}

/* Where what is not judged begins: a line that waits for its answer, or has not ended yet. */
static uint64_t
judged_to(const struct checks *k)
{
	const struct check_line *first = TAILQ_FIRST(&k->lines);

	if (first != NULL)
		return first->offset;
	if (k->passed || k->mime.stopped)
		return k->base + k->text->n;
	return k->mime.field.n > 0 ? k->mime.start : k->mime.line_start;
}

int
checks_take(struct transaction *t, struct buf *out, struct why *why)
{
	struct checks *k = t->checks;
	struct str text = buf_view(k->text);
	size_t at = 0, n = (size_t)(judged_to(k) - k->base);

	for (; k->made < k->nchanges && k->changes[k->made].offset < k->base + n; k->made++) {
		const struct change *c = &k->changes[k->made];
		size_t place = (size_t)(c->offset - k->base);
		if (place < at || c->size > n - place)
			panic("checks: a change outside the content");
		if (buf_str(out, str_sub(text, at, place - at)) == -1 ||
		    buf_str(out, str_from(c->text)) == -1)
			goto full;
		at = place + (size_t)c->size;
		t->changed = true;
	}
	if (buf_str(out, str_sub(text, at, n - at)) == -1)
		goto full;
	buf_consume(k->text, n);
	k->base += n;
	return 0;
full:
	return why_temp(why, "4.3.0", "message too large for memory");
}

/* --- what milters have added --- */

static struct str
field_text(struct str header, const struct header_field *f)
{
	return str_sub(header, f->offset, f->size);
}

static uintptr_t
count_of(const struct map *map, struct str text)
{
	return (uintptr_t)map_get(map, text);
}

/* NOLINTBEGIN(performance-no-int-to-ptr): a number in the place of a pointer */
static void
count_set(struct map *map, struct str text, uintptr_t n)
{
	if (n > 0)
		(void)map_put(map, text, (void *)n);
	else
		(void)map_take(map, text);
}
/* NOLINTEND(performance-no-int-to-ptr) */

/* How often each field is there. */
static struct map *
count_fields(struct str header)
{
	struct map *map = map_new();
	struct header_field f;
	size_t at = 0;

	while (header_next(header, &at, &f)) {
		struct str text = field_text(header, &f);
		count_set(map, text, count_of(map, text) + 1);
	}
	return map;
}

static void
look_up(struct checks *k, struct str header, const struct header_field *f)
{
	struct check_line *line = xcalloc(1, sizeof *line);
	struct str text = field_text(header, f);
	size_t n = 0;

	*line = (struct check_line){
	    .kind = MIME_MILTER_HEADER,
	    .whole = true,
	    .offset = f->offset,
	    .size = f->size,
	    .text = xmalloc(text.n + 1),
	    .checks = k,
	};
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\r')
			line->text[n++] = text.p[i];
	if (n > 0 && line->text[n - 1] == '\n')
		n--;
	line->n = n < MSG_LINE_MAX ? n : MSG_LINE_MAX;
	line->text[line->n] = '\0';
	TAILQ_INSERT_TAIL(&k->lines, line, link);
	k->nlines++;
}

int
checks_begin_header(struct transaction *t, struct str shown, struct why *why)
{
	struct str header = buf_view(&t->header);
	struct header_field f;
	size_t at = 0;

	checks_clear(t);
	if (t->c->conf->milter_header_checks.n == 0)
		return 0;
	struct checks *k = xcalloc(1, sizeof *k);
	k->t = t;
	k->text = &t->header;
	k->mime.stopped = true;
	TAILQ_INIT(&k->lines);
	t->checks = k;
	struct map *old = count_fields(shown);
	while (header_next(header, &at, &f)) {
		struct str text = field_text(header, &f);
		uintptr_t left = count_of(old, text);
		if (left > 0)
			count_set(old, text, left - 1);
		else
			look_up(k, header, &f);
	}
	map_free(&old, NULL);
	return ask_more(k, why);
}

void
checks_clear(struct transaction *t)
{
	struct checks *k = t->checks;

	t->checks = NULL;
	if (k == NULL)
		return;
	while (!TAILQ_EMPTY(&k->lines))
		line_free(k, TAILQ_FIRST(&k->lines));
	for (size_t i = 0; i < k->nchanges; i++)
		free(k->changes[i].text);
	free(k->changes);
	mime_clear(&k->mime);
	free(k);
}
