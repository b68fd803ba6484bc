/* SPDX-License-Identifier: ISC */
/*
 * Content is read where it stands, when it is sent. With pieces (edits) it is put together: small
 * in memory, large in a scratch file without a name, so that whoever delivers always sees one run
 * of bytes.
 */
#include "qmgr/content.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/why.h"
#include "lib/queue/segment.h"
#include "qmgr/qmgr.h"

enum { PART = 64 * 1024, SMALL_MIN = 64 * 1024 };

/* The file that the message stands in, and where in it the content begins. */
static int
source_open(const struct message *m, uint64_t *at, bool *ours, struct why *why)
{
	*ours = m->place == PLACE_FILE;
	if (!*ours) {
		*at = m->offset + SEGMENT_FRAME + HEAD_SIZE;
		return m->segment->fd;
	}
	*at = HEAD_SIZE;
	int fd =
	    openat(m->q->folders.fd[m->folder], m->st.head.id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd != -1 ? fd : why_sys(why, "4.3.0", "open the queue file");
}

/* All pieces, or the one that the whole content is, handed to `put`. */
static int
each_piece(const struct message *m, int fd, uint64_t at,
    int (*put)(void *arg, int fd, uint64_t at, struct str added, uint64_t n), void *arg)
{
	const struct envelope *env = &m->st.env;

	if (env->npieces == 0)
		return put(arg, fd, at, STR_EMPTY, m->st.head.content_size);
	for (size_t i = 0; i < env->npieces; i++) {
		const struct envelope_piece *p = &env->pieces[i];
		struct str added = p->added
				       ? str_sub(env->added, (size_t)p->offset, (size_t)p->length)
				       : STR_EMPTY;
		if (put(arg, fd, at + p->offset, added, p->length) == -1)
			return -1;
	}
	return 0;
}

static int
put_memory(void *arg, int fd, uint64_t at, struct str added, uint64_t n)
{
	struct buf *b = arg;

	if (added.n > 0)
		return buf_str(b, added);
	char *room = buf_room(b, (size_t)n);
	if (room == NULL || pread_all(fd, room, (size_t)n, (off_t)at) == -1)
		return -1;
	buf_grown(b, (size_t)n);
	return 0;
}

static int
put_file(void *arg, int fd, uint64_t at, struct str added, uint64_t n)
{
	const int *to = arg;
	char part[PART];

	if (added.n > 0)
		return write_all(*to, added.p, added.n);
	while (n > 0) {
		size_t now = n < PART ? (size_t)n : PART;
		if (pread_all(fd, part, now, (off_t)at) == -1 || write_all(*to, part, now) == -1)
			return -1;
		at += now;
		n -= now;
	}
	return 0;
}

static int
scratch(const struct message *m, int fd, uint64_t at, struct content *c, struct why *why)
{
	char name[HEAD_ID_MAX + 16];
	int dir = m->q->folders.fd[FOLDER_TMP], rc = -1;

	snprintf(name, sizeof name, "%s.content", m->st.head.id);
	int to = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to != -1 && each_piece(m, fd, at, put_file, &to) == 0) {
		c->fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		rc = c->fd == -1 ? -1 : 0;
	}
	if (rc == -1)
		why_sys(why, "4.3.0", "put the content together");
	fd_close(&to);
	(void)unlinkat(dir, name, 0);
	return rc;
}

static int
read_small(struct message *m, int fd, uint64_t at, struct content *c, struct why *why)
{
	struct buf *b = &m->q->content;

	buf_reset(b);
	if (each_piece(m, fd, at, put_memory, b) == -1)
		return why_sys(why, "4.3.0", "read the content");
	c->bytes = buf_view(b);
	return 0;
}

int
content_open(struct message *m, struct content *c, struct why *why)
{
	uint64_t at, small = (uint64_t)m->q->conf->common.journal_message_limit;
	bool ours;
	int rc;

	*c = (struct content){.fd = -1, .size = state_size(&m->st)};
	int fd = source_open(m, &at, &ours, why);
	if (fd == -1)
		return -1;
	if (m->place == PLACE_SEGMENT || c->size <= (small > SMALL_MIN ? small : SMALL_MIN))
		rc = read_small(m, fd, at, c, why);
	else if (m->st.env.npieces == 0) {
		c->fd = fd;
		c->offset = at;
		return 0;
	} else
		rc = scratch(m, fd, at, c, why);
	if (ours)
		close(fd);
	return rc;
}

void
content_close(struct content *c)
{
	fd_close(&c->fd);
}
