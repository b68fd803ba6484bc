/* SPDX-License-Identifier: ISC */
/*
 * One message in: MAIL_OPEN, MAIL_RCPT..., MAIL_DATA... (or a pipe), MAIL_COMMIT, all under one
 * request of the submitter's channel; before the last, MAIL_LOOK, and after its answer what the
 * submitter makes of the message (show.h). The steps of a commit: all content is there and its
 * count is right; router has answered; a child message is not there already; then header, envelope,
 * and the disk. Nothing is answered before the disk has it.
 *
 * A message for a request that is not open is left over from one that was refused meanwhile, and is
 * passed over.
 */
#include "cleanup/transaction.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "cleanup/announce.h"
#include "cleanup/checks.h"
#include "cleanup/cleanup.h"
#include "cleanup/edits.h"
#include "cleanup/intake.h"
#include "cleanup/journal.h"
#include "cleanup/recipients.h"
#include "cleanup/server.h"
#include "cleanup/show.h"
#include "cleanup/trace.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/mail/header.h"
#include "lib/metrics/metrics.h"

enum {
	TEXT_MAX = 1 << 30,
	SPACE_CHECK_MS = 1000, /* the file system is asked this often */
	FILES_RESERVE = 64,
	ENVELOPE_IN_JOURNAL = 64 * 1024,
};

/* --- finding --- */

struct key {
	const struct chan *ch;
	uint32_t id;
	uint32_t zero;
};

static struct str
key_view(const struct key *key)
{
	return str_make((const char *)key, sizeof *key);
}

static struct transaction *
find(struct chan *ch, const struct chan_head *head)
{
	struct service *s = chan_owner(ch);
	const struct cleanup *c = s->state;
	struct key key = {.ch = ch, .id = head->id};
	struct transaction *t = map_get(c->open, key_view(&key));

	if (t != NULL)
		t->touched = clock_ms();
	return t;
}

static void
forget(struct transaction *t)
{
	struct key key = {.ch = t->ch, .id = t->head.id};

	if (t->ch != NULL)
		map_take(t->c->open, key_view(&key));
	t->ch = NULL;
}

/* --- the end --- */

static void
transaction_free(struct transaction *t)
{
	struct cleanup *c = t->c;

	forget(t);
	if (t->qmgr != NULL)
		chan_forget(t->qmgr, t->parent_id);
	checks_clear(t);
	edits_clear(t);
	recipients_clear(t);
	intake_clear(t);
	envelope_clear(&t->env);
	buf_free(&t->envelope);
	buf_free(&t->late);
	buf_free(&t->prepended);
	buf_free(&t->text);
	TAILQ_REMOVE(&c->transactions, t, link);
	c->ntransactions--;
	free(t);
	if (c->service->stopping && c->ntransactions == 0)
		server_finish(c);
}

void
transaction_refuse(struct transaction *t, const struct why *why)
{
	if (t->ch != NULL)
		(void)chan_refuse(
		    t->ch, &t->head, why); /* a submitter that is gone needs no answer */
	transaction_free(t);
}

void
transaction_queued(struct transaction *t, const char *id)
{
	struct msg_mail_queued msg = {.queue_id = str_from(id)};
	struct service *s = t->c->service;

	if (t->ch != NULL)
		(void)chan_reply(t->ch, &t->head, MSG_MAIL_QUEUED,
		    &msg); /* it is durable, whoever hears of it */
	transaction_free(t);
	service_worked(s);
}

static void
refuse_temp(struct transaction *t, const char *code, const char *text)
{
	struct why why;

	why_temp(&why, code, "%s", text);
	transaction_refuse(t, &why);
}

void
transaction_partner_gone(struct cleanup *c, const struct chan *ch)
{
	struct transaction *t, *next;

	for (t = TAILQ_FIRST(&c->transactions); t != NULL; t = next) {
		next = TAILQ_NEXT(t, link);
		if (t->ch != ch)
			continue;
		forget(t);
		if (t->state != TX_WRITING)
			transaction_free(t);
	}
}

void
transaction_expire_idle(struct cleanup *c)
{
	struct transaction *t, *next;
	int64_t limit = clock_ms() - c->conf->cleanup_idle_timeout;

	for (t = TAILQ_FIRST(&c->transactions); t != NULL; t = next) {
		next = TAILQ_NEXT(t, link);
		if (t->state != TX_WRITING && t->touched < limit)
			refuse_temp(t, "4.4.2", "nothing came for too long");
	}
}

/* --- the beginning --- */

/* Room for the message and for what is under way besides: asked of the file system once a second.
 */
static int
check_space(struct cleanup *c, uint64_t size, struct why *why)
{
	const struct conf_common *conf = &c->conf->common;
	uint64_t reserve = (uint64_t)c->conf->queue_minfree;
	struct statvfs fs;
	int64_t now = clock_ms();

	if (c->free_at == 0 || now - c->free_at >= SPACE_CHECK_MS) {
		if (fstatvfs(c->newfd, &fs) == -1)
			return why_sys(why, "4.3.1", "free space of the queue");
		c->free_at = now;
		c->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
		/* Some file systems count no inodes. */
		c->free_files = fs.f_files == 0 ? UINT64_MAX : fs.f_favail;
	}
	if (reserve == 0)
		reserve =
		    (uint64_t)conf->message_size_limit + (uint64_t)conf->message_size_limit / 2;
	if (c->free_bytes >= reserve && c->free_bytes - reserve >= size &&
	    c->free_files >= FILES_RESERVE)
		return 0;
	why_temp(why, "4.3.1", "insufficient system storage");
	why->smtp = 452;
	return -1;
}

size_t
transaction_keep(struct transaction *t, struct str s)
{
	size_t at = t->text.n;

	/* Bounded by the message's fields. */
	if (buf_str(&t->text, s) == -1 || buf_byte(&t->text, '\0') == -1)
		fatal("envelope too large");
	/* No control character gets into a header field that we write, whoever sends it. */
	str_mask_control(t->text.p + at, t->text.n - at - 1);
	return at;
}

static void
keep_open(struct transaction *t, const struct msg_mail_open *m)
{
	t->env = (struct envelope){
	    .flags = m->flags,
	    .client_port = m->client_port,
	    .uid = m->uid,
	    .ret = m->ret,
	    .trace = t->head.trace,
	};
	t->sender = transaction_keep(t, m->sender);
	t->service = transaction_keep(t, m->service);
	t->client_name = transaction_keep(t, m->client_name);
	t->client_addr = transaction_keep(t, m->client_addr);
	t->helo = transaction_keep(t, m->helo);
	t->proto = transaction_keep(t, m->proto);
	t->tls = transaction_keep(t, m->tls);
	t->login = transaction_keep(t, m->login);
	t->origin = transaction_keep(t, m->origin);
	t->full_name = transaction_keep(t, m->full_name);
	t->envid = transaction_keep(t, m->envid);
	t->parent = transaction_keep(t, m->parent);
	t->hold = transaction_keep(t, m->hold);
	t->filter = t->message_id = transaction_keep(t, STR_EMPTY);
}

static struct transaction *
transaction_new(
    struct cleanup *c, struct chan *ch, const struct chan_head *head, struct msg_mail_open *m)
{
	struct transaction *t = xcalloc(1, sizeof *t);
	struct key key = {.ch = ch, .id = head->id};

	*t = (struct transaction){
	    .c = c,
	    .ch = ch,
	    .head = *head,
	    .touched = clock_ms(),
	    .arrived = (uint64_t)wall_us(),
	    .pipe = -1,
	    .file = {.fd = -1},
	};
	LIST_INIT(&t->open_questions);
	buf_init(&t->text, TEXT_MAX);
	buf_init(&t->content, (size_t)c->conf->common.header_size_limit * 2 + (1 << 20));
	buf_init(&t->prefix, (size_t)c->conf->common.header_size_limit * 2 + (1 << 20));
	buf_init(&t->envelope, TEXT_MAX);
	buf_init(&t->late, 1 << 24);
	buf_init(&t->prepended, (size_t)c->conf->common.header_size_limit);
	content_begin(&t->scan);
	keep_open(t, m);
	checks_begin(t);
	map_put(c->open, key_view(&key), t);
	TAILQ_INSERT_TAIL(&c->transactions, t, link);
	c->ntransactions++;
	return t;
}

static int
check_open(struct cleanup *c, const struct msg_mail_open *m, struct why *why)
{
	if (c->service->stopping || c->ntransactions >= (size_t)c->conf->cleanup_message_limit)
		return why_temp(why, "4.3.2", "too many messages under way");
	if (m->size > (uint64_t)c->conf->common.message_size_limit) {
		why_perm(why, "5.3.4", "message size exceeds the fixed limit");
		why->smtp = 552;
		return -1;
	}
	if (str_has_control(m->sender))
		return why_perm(why, "5.1.7", "control character in the sender's address");
	return check_space(c, m->size, why);
}

static void
on_open(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct cleanup *c = s->state;
	struct msg_mail_open *m = &msg->mail_open;
	struct why why = {0};

	if (find(ch, head) != NULL || head->id == 0) {
		chan_fail(ch, "MAIL_OPEN twice under one number");
		return;
	}
	if (check_open(c, m, &why) == -1) {
		(void)chan_refuse(ch, head, &why); /* nothing has begun */
		return;
	}
	struct transaction *t = transaction_new(c, ch, head, m);
	if (m->content == -1)
		return;
	t->pipe = chan_take_fd(&m->content);
	if (fd_nonblock(t->pipe) == -1)
		refuse_temp(t, "4.3.0", "content is no pipe");
	else
		intake_watch_pipe(t);
}

static void
on_rcpt(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct transaction *t = find(ch, head);
	struct why why = {0};

	if (t == NULL)
		return;
	if (t->state != TX_RECEIVING)
		chan_fail(ch, "MAIL_RCPT after MAIL_COMMIT");
	else if (recipients_add(t, &msg->mail_rcpt, &why) == -1)
		transaction_refuse(t, &why);
}

static bool
receiving(const struct transaction *t)
{
	return t->state == TX_RECEIVING || t->state == TX_SHOWN;
}

static void
on_data(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct transaction *t = find(ch, head);
	struct why why = {0};

	if (t == NULL)
		return;
	if (!receiving(t) || t->pipe != -1 || (t->state == TX_SHOWN && !t->replacing))
		chan_fail(ch, "MAIL_DATA out of place");
	else if (intake_add(t, msg->mail_data.bytes, &why) == -1)
		transaction_refuse(t, &why);
}

static void
on_edit(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct transaction *t = find(ch, head);
	struct why why = {0};

	if (t == NULL)
		return;
	if (!receiving(t))
		chan_fail(ch, "MAIL_EDIT out of place");
	else if (edits_add(t, (enum mail_edit)msg->mail_edit.kind, msg->mail_edit.name,
		     msg->mail_edit.value, &why) == -1)
		transaction_refuse(t, &why);
}

static void
on_look(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct transaction *t = find(ch, head);

	if (t == NULL)
		return;
	if (t->state != TX_RECEIVING) {
		chan_fail(ch, "MAIL_LOOK out of place");
		return;
	}
	t->state = TX_ASKED;
	t->promised = msg->mail_look.size;
	t->kept = msg->mail_look.kept != 0 && t->pipe == -1;
	transaction_proceed(t);
}

static void
on_replace(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct transaction *t = find(ch, head);
	struct why why = {0};

	if (t == NULL)
		return;
	if (t->state != TX_SHOWN || t->replacing) {
		chan_fail(ch, "MAIL_REPLACE out of place");
		return;
	}
	int pipe = chan_take_fd(&msg->mail_replace.content);
	if (show_replace(t, &msg->mail_replace, pipe, &why) == -1)
		transaction_refuse(t, &why);
	else if (pipe != -1 && fd_nonblock(pipe) == -1)
		refuse_temp(t, "4.3.0", "content is no pipe");
	else if (pipe != -1)
		intake_watch_pipe(t);
}

static void
on_commit(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct transaction *t = find(ch, head);

	if (t == NULL)
		return;
	if (!receiving(t)) {
		chan_fail(ch, "MAIL_COMMIT out of place");
		return;
	}
	t->state = TX_COMMITTED;
	t->promised = msg->mail_commit.size;
	transaction_proceed(t);
}

static void
on_abort(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct transaction *t = find(ch, head);

	(void)msg;
	if (t == NULL)
		return;
	if (t->state == TX_WRITING)
		forget(t);
	else
		transaction_free(t);
}

const struct chan_rule transaction_rules[] = {
    {MSG_MAIL_OPEN,    on_open   },
    {MSG_MAIL_RCPT,    on_rcpt   },
    {MSG_MAIL_DATA,    on_data   },
    {MSG_MAIL_EDIT,    on_edit   },
    {MSG_MAIL_LOOK,    on_look   },
    {MSG_MAIL_REPLACE, on_replace},
    {MSG_MAIL_COMMIT,  on_commit },
    {MSG_MAIL_ABORT,   on_abort  },
    {MSG_NONE,         NULL      },
};

/* --- a child message: is it there already? --- */

static void
on_parent_answer(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct transaction *t = arg;
	struct why why;

	t->qmgr = NULL;
	if (msg == NULL)
		refuse_temp(t, "4.3.0", "the queue manager went away");
	else if (head->type == MSG_MAIL_QUEUED) {
		char id[MSG_ID_MAX + 1];
		str_copy(id, sizeof id, msg->mail_queued.queue_id);
		transaction_queued(t, id);
	} else if (head->type == MSG_REFUSED) {
		why_from_msg(&why, &msg->refused);
		transaction_refuse(t, &why);
	} else {
		t->parent_known = true;
		transaction_proceed(t);
	}
}

/* -1: cannot be asked; 0: asked. */
static int
ask_parent(struct transaction *t)
{
	struct msg_child_find ask = {.parent = str_from(tx_text(t, t->parent))};
	struct chan *qmgr = service_peer(t->c->service, PROGRAM_QMGR, 0);

	if (qmgr == NULL)
		return -1;
	t->parent_id = chan_call(qmgr, t->head.trace, MSG_CHILD_FIND, &ask, on_parent_answer, t);
	if (t->parent_id == 0)
		return -1;
	t->qmgr = qmgr;
	return 0;
}

/* --- to the disk --- */

/* Of one whose header has left for its file it was noted. */
static void
find_message_id(const struct transaction *t, struct buf *id)
{
	struct header_field f;
	struct str header = buf_view(t->replacing ? &t->header : &t->prefix);

	if (header_find(header, "Message-Id", &f) ||
	    (!t->spilled && !t->replacing &&
		header_find(buf_view(&t->content), "Message-Id", &f))) {
		if (header_unfold(f.value, id) == -1)
			buf_reset(id);
	} else if (buf_puts(id, t->own_in_file && !t->replacing ? tx_text(t, t->message_id) : "") ==
		   -1) {
		buf_reset(id);
	}
}

static void
log_message_id(const struct transaction *t)
{
	struct buf id;

	buf_init(&id, 1024);
	find_message_id(t, &id);
	struct ev_message_id ev = {
	    .queue_id = str_from(t->id), .message_id = id.n > 0 ? buf_view(&id) : STR("<>")};
	log_event(t->head.trace, EV_MESSAGE_ID, &ev);
	buf_free(&id);
}

/* Adds the facts of text that we have: header fields before the content. */
static struct content_scan
add_facts(struct envelope *env, struct str first, struct str then)
{
	struct content_scan ours;

	content_begin(&ours);
	content_feed(&ours, first);
	content_feed(&ours, then);
	content_end(&ours);
	env->facts |= ours.facts & ~(uint64_t)FACT_NO_EOL;
	if (ours.longest_line > env->longest_line)
		env->longest_line = ours.longest_line;
	return ours;
}

/* Facts of the content as it will be delivered: what came, and our own header before it. Those of a
 * header that a milter has changed are counted, too. */
static void
put_facts(struct transaction *t)
{
	struct envelope *env = &t->env;
	struct content_scan ours;

	env->facts = t->scan.facts;
	env->longest_line = t->scan.longest_line;
	if (t->replacing) {
		ours =
		    add_facts(env, str_sub(buf_view(&t->prefix), 0, t->own), buf_view(&t->header));
		env->hops = ours.received;
		env->header_size = t->own + t->header.n;
	} else {
		ours = add_facts(env, buf_view(&t->prefix), STR_EMPTY);
		env->hops = t->scan.received + ours.received;
		env->header_size =
		    t->header_end == 0 ? t->prefix.n + t->scan.header_size : ours.header_size;
	}
	(void)add_facts(env, buf_view(&t->late), STR_EMPTY);
	env->header_size += t->late.n;
}

static int
put_envelope(struct transaction *t, struct why *why)
{
	struct envelope *env = &t->env;

	env->sender = str_from(tx_text(t, t->sender));
	env->service = str_from(tx_text(t, t->service));
	env->client_name = str_from(tx_text(t, t->client_name));
	env->client_addr = str_from(tx_text(t, t->client_addr));
	env->helo = str_from(tx_text(t, t->helo));
	env->proto = str_from(tx_text(t, t->proto));
	env->tls = str_from(tx_text(t, t->tls));
	env->login = str_from(tx_text(t, t->login));
	env->origin = str_from(tx_text(t, t->origin));
	env->envid = str_from(tx_text(t, t->envid));
	env->parent = str_from(tx_text(t, t->parent));
	env->hold = str_from(tx_text(t, t->hold));
	env->filter = str_from(tx_text(t, t->filter));
	recipients_to_envelope(t);
	put_facts(t);
	if (t->spilled && show_pieces(t, why) == -1)
		return -1;
	envelope_encode(env, &t->envelope);
	return 0;
}

static void
file_run(struct job *job)
{
	struct transaction *t =
	    (struct transaction *)((char *)job - offsetof(struct transaction, sync));

	if (qfile_sync(&t->file, &t->sync_why) == 0 && fsync(t->c->newfd) == -1)
		why_sys(&t->sync_why, "4.3.0", "sync queue/new");
}

static void
file_done(struct job *job)
{
	struct transaction *t =
	    (struct transaction *)((char *)job - offsetof(struct transaction, sync));

	if (t->sync_why.class != WHY_NONE) {
		log_error("%s: %s", t->id, t->sync_why.text);
		transaction_refuse(t, &t->sync_why);
		return;
	}
	t->space = HEAD_SIZE + t->file.head.content_size + t->file.head.envelope_size;
	qfile_close(&t->file);
	t->spilled = false;
	if ((t->env.flags & MAIL_PROBE) == 0)
		metric_add(METRIC_QUEUED, 1);
	announce(t->c, t, 0, 0);
	char id[QID_SIZE];
	memcpy(id, t->id, sizeof id);
	transaction_queued(t, id);
}

static void
write_file(struct transaction *t)
{
	struct why why = {0};

	if (!t->spilled) {
		if (qfile_create(&t->file, t->c->newfd, t->id, t->arrived, &why) == -1) {
			transaction_refuse(t, &why);
			return;
		}
		t->spilled = true;
		if (qfile_write(&t->file, buf_view(&t->prefix), &why) == -1 ||
		    qfile_write(&t->file, t->rest, &why) == -1) {
			transaction_refuse(t, &why);
			return;
		}
	}
	if (qfile_finish(&t->file, buf_view(&t->envelope), &why) == -1) {
		transaction_refuse(t, &why);
		return;
	}
	t->sync = (struct job){.run = file_run, .done = file_done};
	jobs_add(t->c->jobs, &t->sync);
}

/* The checksum over prefix and rest, which stand in two places. */
static uint64_t
content_sum(const struct transaction *t)
{
	XXH3_state_t *hash = t->c->hash;

	XXH3_64bits_reset(hash);
	XXH3_64bits_update(hash, buf_cstr(&t->prefix), t->prefix.n);
	XXH3_64bits_update(hash, t->rest.p, t->rest.n);
	return XXH3_64bits_digest(hash);
}

static void
write_journal(struct transaction *t)
{
	struct head head = {
	    .state = HEAD_COMMITTED,
	    .content_size = t->prefix.n + t->rest.n,
	    .content_sum = content_sum(t),
	    .envelope_size = t->envelope.n,
	    .envelope_sum = head_sum(t->envelope.p, t->envelope.n),
	    .arrived = t->arrived,
	};

	memcpy(head.id, t->id, sizeof t->id);
	head_encode(&head, t->frame + SEGMENT_FRAME);
	journal_add(t->c->journal, t);
}

/* Header and envelope, complete but for the disk. */
static int
make_message(struct transaction *t, struct why *why)
{
	if (t->id[0] == '\0' && qid_next(&t->c->ids, t->id, why) == -1)
		return -1;
	if (!t->spilled && show_make(t, why) == -1)
		return -1;
	if (!t->own_in_file && trace_write(t) == -1)
		return why_temp(why, "4.3.0", "header too large");
	if (t->replacing && !t->spilled && buf_str(&t->prefix, buf_view(&t->header)) == -1)
		return why_temp(why, "4.3.0", "header too large");
	t->rest = t->spilled ? STR_EMPTY : str_from_at(buf_view(&t->content), t->header_end);
	return put_envelope(t, why);
}

static void
write_message(struct transaction *t)
{
	struct why why = {0};

	t->state = TX_WRITING;
	if (t->ev_pipe != NULL)
		event_del(t->ev_pipe);
	if (make_message(t, &why) == -1) {
		transaction_refuse(t, &why);
		return;
	}
	log_message_id(t);
	uint64_t total = HEAD_SIZE + t->prefix.n + t->rest.n + t->envelope.n;
	if (!t->spilled && t->envelope.n <= ENVELOPE_IN_JOURNAL &&
	    journal_takes(t->c->journal, total))
		write_journal(t);
	else
		write_file(t);
}

/* Its submitter hears that it went well, and nothing is kept. */
static void
discard(struct transaction *t)
{
	struct why why = {0};
	char id[QID_SIZE];

	if (t->id[0] == '\0' && qid_next(&t->c->ids, t->id, &why) == -1) {
		transaction_refuse(t, &why);
		return;
	}
	if (!t->discard)
		log_info("%s: no recipient is left: the message is discarded", t->id);
	memcpy(id, t->id, sizeof id);
	transaction_queued(t, id);
}

/* 1: it can be written; 0: something is missing; -1: to be refused. */
static int
complete(struct transaction *t, struct why *why)
{
	if (t->received < t->promised && t->pipe != -1 && !t->pipe_ended)
		return 0;
	if (t->received != t->promised)
		return why_temp(why, "4.3.0", "the message did not arrive whole");
	if (t->nrcpts == 0 && t->edits == NULL)
		return why_perm(why, "5.5.1", "no recipients");
	if (*tx_text(t, t->parent) != '\0' && !t->parent_known)
		return ask_parent(t) == -1
			   ? why_temp(why, "4.3.0", "the queue manager is not available")
			   : 0;
	return t->replacing ? show_end(t, why) : intake_end(t, why);
}

static void
finish(struct transaction *t)
{
	struct why why = {0};
	int more = edits_apply(t, &why);

	if (more == -1)
		transaction_refuse(t, &why);
	else if (more == 0 && (t->discard || t->nrcpts == 0))
		discard(t);
	else if (more == 0)
		write_message(t);
}

void
transaction_proceed(struct transaction *t)
{
	struct why why = {0};

	if ((t->state != TX_ASKED && t->state != TX_COMMITTED) || t->questions > 0 ||
	    t->qmgr != NULL)
		return;
	int rc = complete(t, &why);
	if (rc == 1 && t->state == TX_COMMITTED) {
		finish(t);
		return;
	}
	if (rc == 1)
		rc = show_reply(t, &why);
	if (rc == -1)
		transaction_refuse(t, &why);
}
