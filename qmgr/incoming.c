/* SPDX-License-Identifier: ISC */
/*
 * Segments are followed by what cleanup says (QUEUED), each with the place of one message. What was
 * not said is found by its gap, or when cleanup asks us to look: then the segment is read from the
 * last known place on, as far as it is durable. Extents that have no room in memory wait as 16
 * bytes each.
 *
 * A segment is closed when a newer one of the same writer is used, or when its writer is gone;
 * drained when it is closed and nothing of it is left; free when a sync of the results has
 * followed. Recovery is the same walk, with what the results say.
 */
#include "qmgr/incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/queue/entry.h"
#include "lib/queue/qfile.h"
#include "lib/queue/segment.h"
#include "qmgr/children.h"
#include "qmgr/disk.h"
#include "qmgr/message.h"
#include "qmgr/record.h"

enum { READAHEAD = 1 << 20, SLOT_SHIFT = 16, LOADS_A_ROUND = 500, RESULTS_ROTATE = 8 << 20 };

/* What the result journal said of a message: encoded entries, replayed when it is loaded. */
struct recovered {
	struct buf entries;
	bool gone;
};

enum { RECOVERED_KEY = 0x6b70 };

/* --- segments --- */

static struct segment_ref *
segment_find(struct qmgr *q, uint64_t number, uint64_t seal)
{
	struct segment_ref *seg;

	LIST_FOREACH (seg, &q->segments, link)
		if (seg->number == number && seg->seal == seal)
			return seg;
	return NULL;
}

static void
segment_ref_free(struct qmgr *q, struct segment_ref *seg)
{
	results_forget(&q->results, seg->number, seg->seal);
	if (q->readahead_of == seg)
		q->readahead_of = NULL;
	if (seg->in_backlog)
		TAILQ_REMOVE(&q->backlog, seg, backlog);
	LIST_REMOVE(seg, link);
	fd_close(&seg->fd);
	free(seg->waiting);
	free(seg);
}

static bool
segment_empty(const struct segment_ref *seg)
{
	return seg->live == 0 && seg->taken == seg->nwaiting;
}

static void
check_drained(struct qmgr *q, struct segment_ref *seg)
{
	if (!seg->closed || seg->drained || !segment_empty(seg))
		return;
	seg->drained = true;
	q->results_dirty = true;
	loop_defer(&q->service->loop, &q->record_task);
}

/* Waiting mail of old segments gets files of its own, so that the segments can be used again. */
static void
make_room(struct qmgr *q, unsigned slot)
{
	struct segment_ref *seg, *oldest = NULL;
	size_t n = 0, cursor = 0;
	struct str key;
	void *value;

	LIST_FOREACH (seg, &q->segments, link)
		if (seg->number >> SLOT_SHIFT == slot && seg->closed && seg->live > 0) {
			n++;
			oldest = seg; /* new ones are put at the head */
		}
	if (n <= (size_t)q->conf->qmgr_journal_segments)
		return;
	struct message **leaving = xcalloc(oldest->live, sizeof(struct message *));
	size_t nleaving = 0;
	while (map_next(q->messages, &cursor, &key, &value)) {
		struct message *m = value;
		if (m->place == PLACE_SEGMENT && m->segment == oldest && m->wish == WISH_NONE &&
		    nleaving < oldest->live)
			leaving[nleaving++] = m;
	}
	for (size_t i = 0; i < nleaving; i++)
		message_wish(leaving[i], WISH_LEAVE, STR_EMPTY);
	free(leaving);
}

static void
segment_closed(struct qmgr *q, struct segment_ref *seg)
{
	seg->closed = true;
	check_drained(q, seg);
}

/* The same file under another seal: cleanup has sealed it anew, which it may only when we said so.
 */
static void
forget_old_seals(struct qmgr *q, uint64_t number, uint64_t seal)
{
	struct segment_ref *seg, *next;

	for (seg = LIST_FIRST(&q->segments); seg != NULL; seg = next) {
		next = LIST_NEXT(seg, link);
		if (seg->number != number || seg->seal == seal)
			continue;
		if (!segment_empty(seg))
			log_error("journal: segment %llX was used again with %zu messages in it",
			    (unsigned long long)number, seg->live);
		else
			segment_ref_free(q, seg);
	}
}

static struct segment_ref *
segment_add(struct qmgr *q, const struct segment_info *info, uint64_t number, int fd)
{
	struct segment_ref *seg = xcalloc(1, sizeof *seg), *other;

	forget_old_seals(q, number, info->seal);
	seg->number = number;
	seg->seal = info->seal;
	seg->size = info->size;
	seg->fd = fd;
	seg->end = SEGMENT_START;
	LIST_FOREACH (other, &q->segments, link)
		if (info->live && other->number >> SLOT_SHIFT == number >> SLOT_SHIFT)
			segment_closed(q, other);
	LIST_INSERT_HEAD(&q->segments, seg, link);
	make_room(q, (unsigned)(number >> SLOT_SHIFT));
	return seg;
}

/* Opens a segment under its present seal; known ones are found. NULL: it cannot be read. */
static struct segment_ref *
segment_open(struct qmgr *q, uint64_t number, struct segment_info *info, struct why *why)
{
	char name[SEGMENT_NAME_SIZE];

	segment_name(number, name);
	int fd = openat(q->folders.fd[FOLDER_NEW], name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1) {
		why_sys(why, "4.3.0", "open %s", name);
		return NULL;
	}
	if (segment_info(fd, info, why) == -1) {
		close(fd);
		return NULL;
	}
	struct segment_ref *seg = segment_find(q, number, info->seal);
	if (seg == NULL)
		return segment_add(q, info, number, fd);
	close(fd);
	return seg;
}

/* --- extents --- */

static void
extent_add(struct qmgr *q, struct segment_ref *seg, uint64_t offset, uint64_t length)
{
	if (seg->taken == seg->nwaiting)
		seg->taken = seg->nwaiting = 0;
	if (seg->nwaiting == seg->size_waiting) {
		seg->size_waiting = seg->size_waiting == 0 ? 64 : seg->size_waiting * 2;
		seg->waiting = xrealloc(seg->waiting, seg->size_waiting * sizeof *seg->waiting);
	}
	seg->waiting[seg->nwaiting++] = (struct extent){offset, length};
	if (offset + length > seg->end)
		seg->end = offset + length;
	if (!seg->in_backlog) {
		seg->in_backlog = true;
		TAILQ_INSERT_TAIL(&q->backlog, seg, backlog);
	}
}

struct walk {
	struct qmgr *q;
	struct segment_ref *seg;
};

static void
on_found(void *arg, const struct segment_found *found)
{
	struct walk *walk = arg;

	extent_add(walk->q, walk->seg, found->offset, found->length);
}

static void
on_damage(void *arg, uint64_t offset, struct str bytes, const char *reason)
{
	const struct walk *walk = arg;
	char name[80];
	struct why why;

	snprintf(name, sizeof name, "segment-%08llX.%016llX.%llu",
	    (unsigned long long)walk->seg->number, (unsigned long long)walk->seg->seal,
	    (unsigned long long)offset);
	log_error("journal: %s: %s", name, reason);
	if (corrupt_keep(&walk->q->folders, name, bytes, reason, &why) == -1)
		log_error("journal: %s", why.text);
}

/* Reads the segment from the last known place on. */
static void
segment_look(struct qmgr *q, struct segment_ref *seg, const struct segment_info *info)
{
	struct walk walk = {q, seg};
	struct segment_visitor visitor = {on_found, on_damage, &walk};
	struct why why;
	uint64_t end;

	if (segment_walk(seg->fd, info, seg->end, &visitor, &end, &why) == -1) {
		log_error("journal: %s", why.text);
		return;
	}
	if (end > seg->end)
		seg->end = end;
	if (!info->live)
		segment_closed(q, seg);
}

/* --- loading --- */

/* The extent's bytes: from the read-ahead, which is filled with as much as is known behind it. */
static int
read_extent(
    struct qmgr *q, const struct segment_ref *seg, const struct extent *ex, struct str *bytes)
{
	struct buf *b = &q->readahead;

	if (q->readahead_of != seg || ex->offset < q->readahead_at ||
	    ex->offset + ex->length > q->readahead_at + b->n) {
		uint64_t n = seg->end - ex->offset < READAHEAD ? seg->end - ex->offset : READAHEAD;
		if (n < ex->length)
			n = ex->length;
		buf_reset(b);
		q->readahead_of = NULL;
		char *room = buf_room(b, (size_t)n);
		if (room == NULL || pread_all(seg->fd, room, (size_t)n, (off_t)ex->offset) == -1)
			return -1;
		buf_grown(b, (size_t)n);
		q->readahead_of = seg;
		q->readahead_at = ex->offset;
	}
	*bytes = str_sub(buf_view(b), (size_t)(ex->offset - q->readahead_at), (size_t)ex->length);
	return 0;
}

static int
check_extent(const struct segment_ref *seg, const struct extent *ex, struct str bytes,
    struct head *head, struct str *envelope, struct why *why)
{
	uint64_t n, durable;
	struct str content;

	if (bytes.n < SEGMENT_FRAME ||
	    !segment_check(
		(const unsigned char *)bytes.p, seg->seal, ex->offset, seg->size, &n, &durable) ||
	    n > bytes.n - SEGMENT_FRAME)
		return why_perm(why, NULL, "no valid record where one was announced");
	return head_message(
	    str_sub(bytes, SEGMENT_FRAME, (size_t)n), head, &content, envelope, why);
}

/* false: by the results it is done, or stands in a file. */
static bool
apply_recovered(struct qmgr *q, struct state *st)
{
	struct recovered *r =
	    q->recovered != NULL ? map_take(q->recovered, str_from(st->head.id)) : NULL;
	bool stays = r == NULL || !r->gone;

	if (r == NULL)
		return true;
	state_apply_all(st, buf_view(&r->entries), RECOVERED_KEY, 0);
	buf_free(&r->entries);
	free(r);
	return stays && !st->done;
}

static bool
has_file(const struct qmgr *q, const char *id)
{
	return faccessat(q->folders.fd[FOLDER_CUR], id, F_OK, 0) == 0 ||
	       faccessat(q->folders.fd[FOLDER_HOLD], id, F_OK, 0) == 0;
}

static void
activate(struct qmgr *q, struct segment_ref *seg, const struct extent *ex, struct state *st)
{
	children_note(q, &st->env, st->head.id);
	/* It may have been moved by a qmgr that was killed before it could say so. */
	if (!apply_recovered(q, st) || message_find(q, str_from(st->head.id)) != NULL ||
	    (q->recovered != NULL && has_file(q, st->head.id))) {
		state_clear(st);
		return;
	}
	struct message *m = message_new(q, st);
	m->place = PLACE_SEGMENT;
	m->segment = seg;
	m->offset = ex->offset;
	m->length = ex->length;
	seg->live++;
	message_activate(m);
}

static void
load(struct qmgr *q, struct segment_ref *seg, struct extent ex)
{
	struct str bytes = STR_EMPTY, envelope = STR_EMPTY;
	struct head head;
	struct state st;
	struct why why = {0};
	struct walk walk = {q, seg};

	if (read_extent(q, seg, &ex, &bytes) == -1) {
		log_error("journal: segment %llX at %llu cannot be read",
		    (unsigned long long)seg->number, (unsigned long long)ex.offset);
		/* Never given back: what stands there is looked at again at the next start. */
		seg->live++;
		return;
	}
	if (check_extent(seg, &ex, bytes, &head, &envelope, &why) == -1 ||
	    state_init(&st, &head, envelope, &why) == -1) {
		on_damage(&walk, ex.offset, bytes, why.text);
		return;
	}
	activate(q, seg, &ex, &st);
}

static void
recovered_drop(void *value)
{
	struct recovered *r = value;

	buf_free(&r->entries);
	free(r);
}

static void
on_load_round(void *arg)
{
	struct qmgr *q = arg;
	struct segment_ref *seg;

	for (int i = 0; i < LOADS_A_ROUND && (seg = TAILQ_FIRST(&q->backlog)) != NULL; i++) {
		if (message_room(q) == 0)
			return; /* incoming_wake() comes back to it */
		if (seg->taken < seg->nwaiting)
			load(q, seg, seg->waiting[seg->taken++]);
		if (seg->taken == seg->nwaiting) {
			TAILQ_REMOVE(&q->backlog, seg, backlog);
			seg->in_backlog = false;
			check_drained(q, seg);
		}
	}
	if (!TAILQ_EMPTY(&q->backlog))
		loop_defer(&q->service->loop, &q->load_task);
	else if (q->recovered != NULL)
		map_free(&q->recovered, recovered_drop);
}

void
incoming_wake(struct qmgr *q)
{
	if (!TAILQ_EMPTY(&q->backlog))
		loop_defer(&q->service->loop, &q->load_task);
}

void
incoming_release(struct qmgr *q, struct segment_ref *seg)
{
	seg->live--;
	check_drained(q, seg);
}

/* --- giving segments back --- */

void
incoming_before_sync(struct qmgr *q)
{
	struct segment_ref *seg;

	LIST_FOREACH (seg, &q->segments, link)
		if (seg->drained && !seg->freed)
			seg->syncing = true;
}

static void
tell_free(struct qmgr *q, const struct segment_ref *seg)
{
	struct msg_segment_free msg = {.segment = seg->number, .seal = seg->seal};
	struct chan *ch;

	for (size_t i = 0; (ch = service_peer_at(q->service, PROGRAM_CLEANUP, i)) != NULL; i++)
		if (chan_send(ch, 0, 0, MSG_SEGMENT_FREE, &msg) == -1)
			continue; /* a new one is told when it comes */
}

void
incoming_results_synced(struct qmgr *q)
{
	struct segment_ref *seg;

	LIST_FOREACH (seg, &q->segments, link)
		if (seg->syncing && !seg->freed) {
			seg->freed = true;
			tell_free(q, seg);
		}
}

/* --- what cleanup says --- */

static void look_at_new(struct qmgr *q);

static void
on_file_loaded(struct load_job *job)
{
	struct qmgr *q = job->q;

	q->new_unread |= job->unread;
	for (size_t i = 0; i < job->nfound; i++) {
		if (job->found[i].folder != FOLDER_NEW)
			continue;
		children_note(q, &job->found[i].st.env, job->found[i].st.head.id);
		struct message *m = message_from_file(q, &job->found[i]);
		if (m != NULL && m->st.env.hold.n != 0)
			message_wish(m, WISH_HOLD, m->st.env.hold);
		else if (m != NULL)
			message_activate(m);
	}
}

static void
load_file(struct qmgr *q, const char *id)
{
	if (message_find(q, str_from(id)) != NULL)
		return;
	struct load_job *job = load_job_new(q, on_file_loaded, NULL);
	load_job_add(job, id);
	load_submit(job);
}

static void
queued_in_segment(struct qmgr *q, const struct msg_queued *m)
{
	struct segment_ref *seg = segment_find(q, m->segment, m->seal);
	struct segment_info info;
	struct why why;

	if (seg == NULL) {
		seg = segment_open(q, m->segment, &info, &why);
		if (seg == NULL) {
			log_error("journal: %s", why.text);
			q->new_unread = true;
			return;
		}
		if (seg->seal != m->seal)
			return; /* of a seal that is over */
	}
	if (m->offset == seg->end && m->offset % SEGMENT_ALIGN == 0 &&
	    m->length <= seg->size - m->offset)
		extent_add(q, seg, m->offset, m->length);
	else if (m->offset > seg->end && segment_info(seg->fd, &info, &why) == 0)
		segment_look(q, seg, &info);
	incoming_wake(q);
}

static void
on_queued(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct qmgr *q = s->state;
	char id[HEAD_ID_MAX];

	(void)head;
	if (msg->queued.queue_id.n == 0)
		look_at_new(q);
	else if (msg->queued.segment != 0)
		queued_in_segment(q, &msg->queued);
	else if (qid_valid(msg->queued.queue_id) && str_copy(id, sizeof id, msg->queued.queue_id))
		load_file(q, id);
	else
		chan_fail(ch, "malformed queue id");
}

static void
on_child_find(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct service *s = chan_owner(ch);
	struct qmgr *q = s->state;
	struct why why;

	/* What another worker of cleanup has written and not yet said counts, too. */
	look_at_new(q);
	while (!TAILQ_EMPTY(&q->backlog) && message_room(q) > 0)
		on_load_round(q);
	if (TAILQ_EMPTY(&q->backlog)) {
		children_answer(q, ch, head, msg->child_find.parent);
		return;
	}
	why_temp(&why, "4.3.2", "the queue is full");
	(void)chan_refuse(ch, head, &why); /* a partner that is gone needs no answer */
}

const struct chan_rule incoming_rules[] = {
    {MSG_QUEUED,     on_queued    },
    {MSG_CHILD_FIND, on_child_find},
    {MSG_NONE,       NULL         },
};

void
incoming_cleanup(struct service *s, struct chan *ch)
{
	struct qmgr *q = s->state;
	struct segment_ref *seg;

	LIST_FOREACH (seg, &q->segments, link) {
		struct msg_segment_free msg = {.segment = seg->number, .seal = seg->seal};
		if (seg->freed && chan_send(ch, 0, 0, MSG_SEGMENT_FREE, &msg) == -1)
			return;
	}
}

void
incoming_cleanup_gone(struct service *s, struct chan *ch)
{
	(void)ch;
	look_at_new(s->state);
}

/* --- new/ --- */

/* A file that its writer left behind with an OPEN head: no 250 was given. The lock is ours until it
 * is removed: see qfile_create(). */
static void
look_at_file(struct qmgr *q, const char *name)
{
	int dir = q->folders.fd[FOLDER_NEW];
	struct qfile_read r;
	struct why why;
	int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	q->new_unread |= fd == -1 && errno != ENOENT;
	if (fd == -1 || !qfile_claim(fd)) {
		fd_close(&fd);
		return;
	}
	enum qfile_state state = qfile_read(fd, &r, false, &why);
	switch (state) {
	case QFILE_OPEN:
		log_info("%s: never committed: removed", name);
		if (unlinkat(dir, name, 0) == -1)
			log_warning("%s: cannot be removed", name);
		break;
	case QFILE_WHOLE:
		qfile_read_clear(&r);
		load_file(q, name);
		break;
	case QFILE_DAMAGED:
		log_error("%s: queue file is damaged: %s", name, why.text);
		q->new_unread |= why.class != WHY_PERM;
		if (why.class == WHY_PERM &&
		    corrupt_move(&q->folders, FOLDER_NEW, name, why.text, &why) == -1)
			log_error("%s", why.text);
		break;
	}
	close(fd);
}

static void
unread_segment(struct qmgr *q, const char *name, const struct why *found)
{
	struct why why;

	log_error("journal: %s: %s", name, found->text);
	if (found->class != WHY_PERM)
		q->new_unread = true;
	else if (corrupt_move(&q->folders, FOLDER_NEW, name, found->text, &why) == -1)
		log_error("journal: %s", why.text);
}

static int
look_at_name(void *arg, const char *name)
{
	struct qmgr *q = arg;
	uint64_t number = segment_number(name);
	struct segment_info info = {0};
	struct why why = {0};

	if (number == 0) {
		if (qid_valid(str_from(name)) && message_find(q, str_from(name)) == NULL)
			look_at_file(q, name);
		return 0;
	}
	struct segment_ref *seg = segment_open(q, number, &info, &why);
	if (seg != NULL)
		segment_look(q, seg, &info);
	else if (faccessat(q->folders.fd[FOLDER_NEW], name, F_OK, 0) == 0 && !info.live)
		unread_segment(q, name, &why);
	return 0;
}

static void
look_at_new(struct qmgr *q)
{
	struct why why;

	q->new_unread = false;
	if (folder_each(q->folders.fd[FOLDER_NEW], look_at_name, q, &why) == -1) {
		log_error("%s", why.text);
		q->new_unread = true;
	}
	incoming_wake(q);
}

/* --- recovery --- */

static void
on_entry(void *arg, const struct entry *e)
{
	struct qmgr *q = arg;
	struct recovered *r = map_get(q->recovered, e->id);

	if (r == NULL) {
		r = xcalloc(1, sizeof *r);
		buf_init(&r->entries, 1 << 28);
		map_put(q->recovered, e->id, r);
	}
	if (e->kind == ENTRY_DONE || e->kind == ENTRY_MOVED)
		r->gone = true;
	else
		entry_encode(e, RECOVERED_KEY, r->entries.n, &r->entries);
}

static void
on_results_damage(void *arg, const char *name, uint64_t offset)
{
	(void)arg;
	log_error("results/%s is damaged at %llu: what it said there is delivered again", name,
	    (unsigned long long)offset);
}

static bool
is_there(void *arg, uint64_t segment, uint64_t seal)
{
	return segment_find(arg, segment, seal) != NULL;
}

int
incoming_recover(struct qmgr *q, struct why *why)
{
	struct results_visitor visitor = {on_entry, on_results_damage, q};

	LIST_INIT(&q->segments);
	TAILQ_INIT(&q->backlog);
	buf_init(&q->readahead, READAHEAD * 2);
	q->load_task = (struct loop_task){.on_round_end = on_load_round, .arg = q};
	q->recovered = map_new();
	if (results_open(
		&q->results, q->folders.fd[FOLDER_RESULTS], RESULTS_ROTATE, &visitor, why) == -1)
		return -1;
	look_at_new(q);
	results_prune(&q->results, is_there, q);
	return 0;
}

/* Segments that cleanup removed instead of using them again; and what could not be read before. */
void
incoming_tick(struct qmgr *q)
{
	struct segment_ref *seg, *next;
	struct stat st;

	for (seg = LIST_FIRST(&q->segments); seg != NULL; seg = next) {
		next = LIST_NEXT(seg, link);
		if (seg->freed && segment_empty(seg) && fstat(seg->fd, &st) == 0 &&
		    st.st_nlink == 0)
			segment_ref_free(q, seg);
	}
	if (q->new_unread)
		look_at_new(q);
}
