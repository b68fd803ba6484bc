/* SPDX-License-Identifier: ISC */
/*
 * A list of items that only grows: each is asked about (router for names and accounts, an agent for
 *files that a user owns) and becomes addresses, leaves or further items. Rules:
 *	- an alias is expanded in place, unless it contains itself: such a one goes to the child
 *message, so that nobody gets it twice;
 *	- a name is looked up once (loops end there); "joe: joe, ann" means joe's own mailbox;
 *	- what ~/.forward and :include: name is not looked up here: it goes to the child message;
 *	- what cannot be told, or is malformed, defers: nothing has been done yet.
 * Hostile input: texts of ~/.forward and :include: files, and whatever an agent answers.
 */
#include "local/expand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/mail/address.h"
#include "lib/service/service.h"
#include "lib/table/target.h"
#include "local/delivery.h"
#include "local/job.h"

enum { FORWARD_ROWS_MAX = 100000 };

struct mailbox_account {
	char user[64 + 1];
	uint64_t uid, gid;
	char *home, *shell, *path; /* owned */
};

static const char present[] = "x";

static void expand_next(struct job *j);

static void
account_free(struct job *j)
{
	if (j->account == NULL)
		return;
	free(j->account->home);
	free(j->account->shell);
	free(j->account->path);
	free(j->account);
	j->account = NULL;
}

static void
targets_clear(struct job *j)
{
	for (size_t i = 0; i < j->ntargets; i++)
		free(j->targets[i]);
	free(j->targets);
	j->targets = NULL;
	j->ntargets = 0;
}

void
expand_clear(struct job *j)
{
	account_free(j);
	targets_clear(j);
	for (size_t i = 0; i < j->nitems; i++)
		free(j->items[i].text);
	free(j->items);
	j->items = NULL;
	j->nitems = j->at = 0;
	map_free(&j->seen, NULL);
}

/* --- small sets and lists --- */

/* True where `text` was not in the set of `mark` yet; letter case does not count. */
static bool
seen_add(struct job *j, char mark, struct str text)
{
	char key[TABLE_KEY_MAX + 2];
	size_t n = text.n < TABLE_KEY_MAX ? text.n : TABLE_KEY_MAX;

	key[0] = mark;
	for (size_t i = 0; i < n; i++)
		key[i + 1] =
		    text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] | 0x20) : text.p[i];
	return map_put(j->seen, str_make(key, n + 1), (void *)(uintptr_t)present) == NULL;
}

static int
room_check(struct job *j, int64_t depth)
{
	const struct local_conf *conf = j->d->l->conf;

	if (j->nitems + j->naddresses + j->nleaves >= (size_t)conf->alias_expansion_limit) {
		job_end(j, DELIVERY_DEFERRED, "4.6.0",
		    "%s expands to more than alias_expansion_limit targets", j->address);
		return -1;
	}
	if (depth > conf->alias_recursion_limit) {
		job_end(j, DELIVERY_DEFERRED, "4.6.0",
		    "aliases of %s are nested over alias_recursion_limit", j->address);
		return -1;
	}
	return 0;
}

static int
item_add(struct job *j, enum item_kind kind, struct str text, const struct agent_user *who,
    int64_t depth)
{
	if (room_check(j, depth) == -1)
		return -1;
	j->items = xrealloc(j->items, size_mul(j->nitems + 1, sizeof *j->items));
	struct item *item = &j->items[j->nitems++];
	*item = (struct item){.kind = kind, .text = str_dup(text), .depth = depth};
	if (who != NULL)
		item->who = *who;
	return 0;
}

static int
leaf_add(struct job *j, enum leaf_kind kind, char *text, const struct agent_user *who,
    const struct mailbox_account *account)
{
	if (room_check(j, 0) == -1) {
		free(text);
		return -1;
	}
	j->leaves = xrealloc(j->leaves, size_mul(j->nleaves + 1, sizeof *j->leaves));
	struct leaf *leaf = &j->leaves[j->nleaves++];
	*leaf = (struct leaf){.kind = kind, .text = text, .who = *who};
	if (account != NULL) {
		leaf->home = xstrdup(account->home);
		leaf->shell = xstrdup(account->shell);
	}
	return 0;
}

/* An address for the child message; a bare name gets the recipient's domain, where it was found. */
static int
address_add(struct job *j, struct str text)
{
	struct addr a;
	struct why why;

	if (room_check(j, 0) == -1)
		return -1;
	if (addr_mailbox(&a, text, ADDR_UTF8 | ADDR_NO_DOMAIN, &why) == -1 ||
	    (addr_domain(&a).n == 0 && addr_complete(&a, j->parts.domain, &why) == -1)) {
		job_end(j, DELIVERY_DEFERRED, "4.3.5", "a target of %s is malformed: %s",
		    j->address, why.text);
		return -1;
	}
	if (!seen_add(j, 'a', addr_text(&a)))
		return 0;
	j->addresses = xrealloc(j->addresses, size_mul(j->naddresses + 1, sizeof *j->addresses));
	j->addresses[j->naddresses++] = str_dup(addr_text(&a));
	return 0;
}

/* --- targets --- */

static bool
is_local(const struct job *j, struct str domain)
{
	const struct setting_list *own = &j->d->l->conf->common.mydestination;

	if (domain.n == 0 || str_caseeq(domain, j->parts.domain))
		return true;
	for (size_t i = 0; i < own->n; i++)
		if (str_caseeq(domain, str_from(own->items[i])))
			return true;
	return false;
}

static bool
is_allowed(const struct setting_list *list, enum target_origin origin)
{
	static const char *const names[] = {
	    [ORIGIN_ALIAS] = "alias", [ORIGIN_FORWARD] = "forward", [ORIGIN_INCLUDE] = "include"};

	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], names[origin]) == 0)
			return true;
	return false;
}

/* Where a target stands. */
struct place {
	struct agent_user who; /* files and commands run as */
	enum target_origin origin;
	int64_t depth;
	const struct mailbox_account *account; /* of the user whose ~/.forward this is */
	struct str name;                       /* of the alias */
};

static int
apply_user(struct job *j, struct str text, const struct place *p)
{
	struct address a = address_split(text, j->d->l->conf->common.recipient_delimiter);

	if (!is_local(j, a.domain))
		return address_add(j, text);
	if (!seen_add(j, 'm', a.user))
		return 0;
	if (item_add(j, ITEM_MAILBOX, a.user, NULL, p->depth) == -1)
		return -1;
	for (char *c = j->items[j->nitems - 1].text; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c |= 0x20;
	return 0;
}

static int
apply_address(struct job *j, struct str text, const struct place *p)
{
	struct address a = address_split(text, j->d->l->conf->common.recipient_delimiter);

	if (!is_local(j, a.domain))
		return address_add(j, text);
	bool self = str_caseis(a.user, j->user);
	if (p->origin == ORIGIN_FORWARD && p->account != NULL &&
	    str_caseis(a.user, p->account->user))
		return apply_user(j, a.user, p);
	if (p->origin != ORIGIN_ALIAS)
		return address_add(j, text);
	if (self && (str_caseeq(a.local, p->name) || str_caseeq(a.user, p->name)))
		return seen_add(j, 'u', a.user) ? item_add(j, ITEM_USER, a.user, NULL, p->depth)
						: 0;
	return seen_add(j, 'n', a.local) ? item_add(j, ITEM_NAME, a.local, NULL, p->depth) : 0;
}

static int
apply_file(struct job *j, struct str text, const struct place *p)
{
	if (!is_allowed(&j->d->l->conf->allow_mail_to_files, p->origin)) {
		job_end(j, DELIVERY_BOUNCED, "5.7.1", "mail to files is not allowed here");
		return -1;
	}
	return leaf_add(j, LEAF_FILE, str_dup(text), &p->who, p->account);
}

static int
apply_command(struct job *j, struct str text, const struct place *p)
{
	if (!is_allowed(&j->d->l->conf->allow_mail_to_commands, p->origin)) {
		job_end(j, DELIVERY_BOUNCED, "5.7.1", "mail to commands is not allowed here");
		return -1;
	}
	return leaf_add(j, LEAF_COMMAND, str_dup(text), &p->who, p->account);
}

static int
apply_include(struct job *j, struct str text, const struct place *p)
{
	return seen_add(j, 'i', text) ? item_add(j, ITEM_INCLUDE, text, &p->who, p->depth) : 0;
}

static int (*const appliers[])(struct job *, struct str, const struct place *) = {
    [TARGET_ADDRESS] = apply_address,
    [TARGET_USER] = apply_user,
    [TARGET_FILE] = apply_file,
    [TARGET_COMMAND] = apply_command,
    [TARGET_INCLUDE] = apply_include,
};

/* --- names --- */

static int
ask_router(struct job *j, enum msg_type type, const void *msg, chan_reply_fn *on_reply)
{
	j->router = service_peer(j->d->l->s, PROGRAM_ROUTER, j->d->head.trace);
	j->request =
	    j->router != NULL ? chan_call(j->router, j->d->head.trace, type, msg, on_reply, j) : 0;
	if (j->request != 0)
		return 0;
	job_end(j, DELIVERY_DEFERRED, "4.3.0", "program router is not there");
	return -1;
}

/* The answer, or the end of the job: false. */
static bool
router_answered(
    struct job *j, const struct chan_head *head, const union msg_any *msg, enum msg_type expected)
{
	struct why why;

	j->request = 0;
	if (msg != NULL && head->type == expected)
		return true;
	if (msg != NULL && head->type == MSG_REFUSED)
		why_from_msg(&why, &msg->refused);
	else
		why_temp(&why, "4.3.0", "program router did not answer");
	job_end_why(j, &why);
	return false;
}

static struct item *
current(struct job *j)
{
	return &j->items[j->at];
}

static void
item_done(struct job *j)
{
	j->at++;
	expand_next(j);
}

/* The user that commands and files of a table run as: its owner, but never root. */
static struct agent_user
table_user(const struct job *j, struct str owner)
{
	struct agent_user who = {.user = ""};
	bool nobody = owner.n == 0 || str_is(owner, "root") || owner.p[0] == '#' ||
		      !str_copy(who.user, sizeof who.user, owner);

	if (nobody && !str_copy(who.user, sizeof who.user, str_from(j->d->l->conf->default_privs)))
		who.user[0] = '\0';
	return who;
}

/* Whether the alias `name` has itself among its targets. */
static bool
names_itself(const struct job *j, struct str value, struct str name)
{
	struct buf room;
	struct target t;
	bool found = false;

	buf_init(&room, TARGET_MAX);
	while (!found && target_next(&value, &room, &t, NULL) == 1) {
		struct address a = address_split(t.text, "");
		found =
		    t.kind == TARGET_ADDRESS && is_local(j, a.domain) && str_caseeq(a.local, name);
	}
	buf_free(&room);
	return found;
}

static int
apply_value(struct job *j, struct str value, const struct place *p)
{
	struct buf room;
	struct target t;
	struct why why;
	int more = 0, rc = 0;

	buf_init(&room, TARGET_MAX);
	while (rc == 0 && (more = target_next(&value, &room, &t, &why)) == 1)
		rc = appliers[t.kind](j, t.text, p);
	buf_free(&room);
	if (rc == 0 && more == -1) {
		job_end(
		    j, DELIVERY_DEFERRED, "4.3.5", "alias %.*s: %s", STR_ARG(p->name), why.text);
		return -1;
	}
	return rc;
}

static void
on_owner(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct job *j = arg;

	if (!router_answered(j, head, msg, MSG_FOUND))
		return;
	if (msg->found.found)
		j->sender = xasprintf("owner-%s@%.*s", j->user, STR_ARG(j->parts.domain));
	item_done(j);
}

/* The list's owner gets its bounces (aliases(5)); bounces themselves keep the null sender. */
static void
owner_ask(struct job *j)
{
	char key[TABLE_KEY_MAX + 1];
	int n = snprintf(key, sizeof key, "owner-%s", j->user);
	struct msg_lookup lookup = {.maps = STR("alias_maps"), .key = str_from(key)};

	if (n < 0 || (size_t)n >= sizeof key || j->d->sender[0] == '\0')
		item_done(j);
	else
		(void)ask_router(
		    j, MSG_LOOKUP, &lookup, on_owner); /* ends the job where it fails */
}

static void
alias_found(struct job *j, const struct msg_found *found)
{
	struct item *item = current(j);
	struct address a =
	    address_split(str_from(item->text), j->d->l->conf->common.recipient_delimiter);
	struct str name = j->bare ? a.user : a.local;
	bool first = j->at == 0;

	if (!first && names_itself(j, found->value, name)) {
		if (address_add(j, str_from(item->text)) == 0)
			item_done(j);
		return;
	}
	char *copy = str_dup(name); /* items may move */
	struct place p = {.who = table_user(j, found->owner),
	    .origin = ORIGIN_ALIAS,
	    .depth = item->depth + 1,
	    .name = str_from(copy)};
	j->expanded = true;
	int rc = apply_value(j, found->value, &p);
	free(copy);
	if (rc == -1)
		return;
	if (first)
		owner_ask(j);
	else
		item_done(j);
}

static void name_ask(struct job *j, bool bare);

static void
on_alias(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct job *j = arg;

	if (!router_answered(j, head, msg, MSG_FOUND))
		return;
	struct item *item = current(j);
	struct address a =
	    address_split(str_from(item->text), j->d->l->conf->common.recipient_delimiter);
	if (msg->found.found) {
		alias_found(j, &msg->found);
	} else if (!j->bare && a.has_extension) {
		name_ask(j, true);
	} else if (j->at == 0) {
		(void)seen_add(j, 'u', str_from(j->user));
		if (item_add(j, ITEM_USER, str_from(j->user), NULL, 0) == 0)
			item_done(j);
	} else if (address_add(j, str_from(item->text)) == 0) {
		item_done(j);
	}
}

static void
name_ask(struct job *j, bool bare)
{
	struct address a =
	    address_split(str_from(current(j)->text), j->d->l->conf->common.recipient_delimiter);
	struct msg_lookup lookup = {.maps = STR("alias_maps"), .key = bare ? a.user : a.local};

	j->bare = bare;
	(void)ask_router(j, MSG_LOOKUP, &lookup, on_alias); /* ends the job where it fails */
}

/* --- users --- */

static char *
below_root(const struct job *j, const char *path)
{
	return path[0] == '/' ? xstrdup(path) : xasprintf("%s/%s", j->d->l->s->root, path);
}

/* mailbox_command, else home_mailbox, else the mail spool. */
static int
mailbox_add(struct job *j, const struct mailbox_account *account)
{
	const struct local_conf *conf = j->d->l->conf;
	struct agent_user who = {.uid = account->uid, .gid = account->gid, .mailbox = true};

	memcpy(who.user, account->user, sizeof who.user);
	if (conf->mailbox_command[0] != '\0')
		return leaf_add(j, LEAF_COMMAND, xstrdup(conf->mailbox_command), &who, account);
	if (conf->home_mailbox[0] != '\0')
		return leaf_add(j, LEAF_MAILBOX,
		    xasprintf("%s/%s", account->home, conf->home_mailbox), &who, account);
	char *spool = below_root(j, conf->mail_spool_directory);
	size_t n = strlen(spool);
	bool maildirs = n > 0 && spool[n - 1] == '/';
	char *path = maildirs ? xasprintf("%s%s/", spool, account->user)
			      : xasprintf("%s/%s", spool, account->user);
	free(spool);
	return leaf_add(j, LEAF_MAILBOX, path, &who, account);
}

/* One file of forward_path: ~ is the home folder, %e the extension; "" where it needs an extension
 * and there is none. */
static void
forward_file(const struct job *j, const char *pattern, struct buf *out)
{
	size_t start = out->n;
	bool good = true;

	for (const char *p = pattern; *p != '\0' && good; p++) {
		if (*p == '~' && p == pattern) {
			good = buf_puts(out, j->account->home) == 0;
		} else if (p[0] == '%' && p[1] == 'e') {
			good = j->extension[0] != '\0' && strchr(j->extension, '/') == NULL &&
			       buf_puts(out, j->extension) == 0;
			p++;
		} else {
			good = buf_byte(out, *p) == 0;
		}
	}
	if (!good || buf_byte(out, '\n') == -1)
		buf_cut(out, start);
}

static void on_file(void *arg, const struct chan_head *head, union msg_any *msg);

static void
file_ask(struct job *j, const struct agent_user *who, struct str paths, uint64_t flags)
{
	struct msg_agent_action action = {.kind = AGENT_READ, .flags = flags, .target = paths};
	struct agent_request request = {
	    .who = *who, .action = &action, .delivery = j->d, .on_reply = on_file, .arg = j};

	j->wish = agent_ask(j->d->l, &request);
}

static void
forward_ask(struct job *j)
{
	const struct setting_list *patterns = &j->d->l->conf->forward_path;
	struct agent_user who = {.mailbox = true};
	struct buf paths;

	memcpy(who.user, j->account->user, sizeof who.user);
	buf_init(&paths, 4096);
	for (size_t i = 0; i < patterns->n; i++)
		forward_file(j, patterns->items[i], &paths);
	if (paths.n > 0)
		file_ask(j, &who, buf_view(&paths), AGENT_OPTIONAL);
	else if (mailbox_add(j, j->account) == 0)
		item_done(j);
	buf_free(&paths);
}

static bool
account_read(struct job *j, const struct msg_mailbox_is *m)
{
	struct mailbox_account *account = xcalloc(1, sizeof *account);

	account_free(j);
	j->account = account;
	account->uid = m->uid;
	account->gid = m->gid;
	account->home = str_dup(m->home);
	account->shell = str_dup(m->shell);
	account->path = str_dup(m->path);
	return str_copy(account->user, sizeof account->user, m->user);
}

static void
on_account(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct job *j = arg;

	if (!router_answered(j, head, msg, MSG_MAILBOX_IS))
		return;
	const struct item *item = current(j);
	if (!msg->mailbox_is.found) {
		job_end(j, DELIVERY_BOUNCED, "5.1.1", "unknown user: \"%s\"", item->text);
	} else if (!account_read(j, &msg->mailbox_is)) {
		job_end(j, DELIVERY_DEFERRED, "4.3.5", "the account of \"%s\" is malformed",
		    item->text);
	} else if (j->account->uid == 0 && j->d->l->s->privileged) {
		job_end(j, DELIVERY_DEFERRED, "4.3.5",
		    "\"%s\" is uid 0, which is never delivered to: make it an alias of a person",
		    item->text);
	} else if (item->kind == ITEM_USER && !job_is_probe(j)) {
		forward_ask(j);
	} else if (mailbox_add(j, j->account) == 0) {
		item_done(j);
	}
}

static void
user_ask(struct job *j)
{
	struct msg_mailbox ask = {.name = str_from(current(j)->text), .kind = 0};

	(void)ask_router(j, MSG_MAILBOX, &ask, on_account); /* ends the job where it fails */
}

/* --- files of targets, read by an agent --- */

/* The agent runs as a user: what it says is worth as much as what that user wrote. */
static bool
target_keep(struct job *j, const struct msg_agent_forward *m)
{
	bool clean = m->kind < NELEM(appliers) && m->text.n > 0 && j->ntargets < FORWARD_ROWS_MAX;

	for (size_t i = 0; i < m->text.n; i++)
		clean = clean && ((unsigned char)m->text.p[i] >= ' ' || m->text.p[i] == '\t') &&
			m->text.p[i] != 0x7f;
	if (!clean)
		return false;
	j->targets = xrealloc(j->targets, size_mul(j->ntargets + 1, sizeof *j->targets));
	j->targets[j->ntargets++] = xasprintf("%c%.*s", (char)('0' + m->kind), STR_ARG(m->text));
	return true;
}

static void
targets_apply(struct job *j)
{
	const struct item *item = current(j);
	bool forward = item->kind == ITEM_USER;
	struct place p = {
	    .who = item->who,
	    .origin = forward ? ORIGIN_FORWARD : ORIGIN_INCLUDE,
	    .depth = item->depth + 1,
	    .account = forward ? j->account : NULL,
	};

	if (forward) {
		memcpy(p.who.user, j->account->user, sizeof p.who.user);
		p.who.mailbox = true;
	}
	if (forward && j->ntargets == 0) {
		if (mailbox_add(j, j->account) == 0)
			item_done(j);
		return;
	}
	j->expanded = true;
	for (size_t i = 0; i < j->ntargets; i++)
		if (appliers[j->targets[i][0] - '0'](j, str_from(j->targets[i] + 1), &p) == -1)
			return;
	targets_clear(j);
	item_done(j);
}

static void
on_file(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct job *j = arg;

	if (msg != NULL && head->type == MSG_AGENT_FORWARD) {
		if (!target_keep(j, &msg->agent_forward))
			j->broken = true;
		return;
	}
	if (msg != NULL && head->type == MSG_DELIVER_RESULT) {
		if (msg->deliver_result.status != DELIVERY_SENT && !j->broken) {
			j->broken = true;
			why_temp(&j->why, "4.3.5", "%.*s", STR_ARG(msg->deliver_result.text));
		}
		return;
	}
	j->wish = NULL;
	if (msg != NULL && head->type == MSG_DELIVER_END && !j->broken) {
		targets_apply(j);
		return;
	}
	if (msg != NULL && head->type == MSG_REFUSED)
		why_from_msg(&j->why, &msg->refused);
	else if (j->why.class == WHY_NONE)
		why_temp(&j->why, "4.3.0", "the delivery agent for %s ended before it was done",
		    current(j)->who.user[0] != '\0' ? current(j)->who.user : current(j)->text);
	j->why.class = WHY_TEMP;
	struct why why = j->why;
	job_end_why(j, &why);
}

static void
include_ask(struct job *j)
{
	struct item *item = current(j);

	if (job_is_probe(j)) /* no agent runs for one: that the alias is there is enough */
		job_end(j, DELIVERY_SENT, "2.0.0", "includes a list");
	else if (item->who.user[0] == '\0')
		job_end(j, DELIVERY_DEFERRED, "4.3.5",
		    "default_privs is not set: nobody can read %s", item->text);
	else
		file_ask(j, &item->who, str_from(item->text), 0);
}

/* --- virtual mailboxes --- */

static void
on_virtual(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct job *j = arg;

	if (!router_answered(j, head, msg, MSG_MAILBOX_IS))
		return;
	const struct msg_mailbox_is *m = &msg->mailbox_is;
	struct agent_user who = {.uid = m->uid, .gid = m->gid};
	if (!m->found) {
		job_end(j, DELIVERY_BOUNCED, "5.1.1", "unknown user: \"%s\"", j->address);
	} else if (!account_read(j, m) || j->account->path[0] != '/') {
		job_end(
		    j, DELIVERY_DEFERRED, "4.3.5", "the mailbox of %s is malformed", j->address);
	} else if (m->uid < (uint64_t)j->d->l->conf->virtual_minimum_uid) {
		job_end(j, DELIVERY_DEFERRED, "4.3.5",
		    "the uid of the mailbox of %s is below virtual_minimum_uid", j->address);
	} else if (leaf_add(j, LEAF_MAILBOX, xstrdup(j->account->path), &who, j->account) == 0) {
		job_continue(j);
	}
}

/* --- the walk --- */

static void
expand_next(struct job *j)
{
	j->broken = false;
	if (j->at == j->nitems) {
		job_continue(j);
		return;
	}
	switch (current(j)->kind) {
	case ITEM_NAME:
		name_ask(j, false);
		break;
	case ITEM_USER:
	case ITEM_MAILBOX:
		user_ask(j);
		break;
	case ITEM_INCLUDE:
		include_ask(j);
		break;
	}
}

void
expand_start(struct job *j)
{
	struct msg_mailbox ask = {.name = str_from(j->address), .kind = 1};

	j->seen = map_new();
	if (j->class == CLASS_VIRTUAL || strcmp(j->d->transport, "virtual") == 0) {
		(void)ask_router(
		    j, MSG_MAILBOX, &ask, on_virtual); /* ends the job where it fails */
		return;
	}
	(void)seen_add(j, 'n', str_from(j->name));
	if (item_add(j, ITEM_NAME, str_from(j->name), NULL, 0) == 0)
		expand_next(j);
}
