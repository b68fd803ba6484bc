/* SPDX-License-Identifier: ISC */
/*
 * ~/.forward and :include: files, read as the user that they count for. A link is not followed.
 * What a ~/.forward that is not safe says is not done: it is as if it were not there, and the mail
 * goes to the mailbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/str.h"
#include "lib/table/target.h"
#include "local/agent/agent.h"

enum { FILE_MAX = 4 * 1024 * 1024 };

/* Regular, of the user or root, and not for everybody to write. */
static bool
is_safe(int fd, bool own)
{
	struct stat st;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return false;
	return !own || ((st.st_uid == geteuid() || st.st_uid == 0) && (st.st_mode & S_IWOTH) == 0);
}

static bool
means_none(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP ||
	       error == ENXIO;
}

/* The first path that can be used: 1 and `*fd`; 0: none; -1 with `why`. */
static int
open_first(const struct request *r, int *fd, char *path, size_t size, struct why *why)
{
	bool optional = (r->flags & AGENT_OPTIONAL) != 0;
	struct str rest = str_from(r->target), one;

	while (str_word(&rest, "\n", &one)) {
		if (!str_copy(path, size, one))
			return why_temp(why, "4.3.5", "a path is too long");
		*fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (*fd == -1 && optional && means_none(errno))
			continue;
		if (*fd == -1)
			return why_sys(why, "4.3.5", "open %s", path);
		if (is_safe(*fd, optional))
			return 1;
		fd_close(fd);
		if (!optional)
			return why_temp(why, "4.3.5", "%s is not a regular file", path);
	}
	return 0;
}

static int
read_all(int fd, const char *path, struct buf *text, struct why *why)
{
	for (;;) {
		char *room = buf_room(text, 16384);
		if (room == NULL)
			return why_temp(why, "4.3.5", "%s is over %d bytes", path, FILE_MAX);
		ssize_t n = read(fd, room, 16384);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return why_sys(why, "4.3.0", "read %s", path);
		if (n == 0)
			return 0;
		buf_grown(text, (size_t)n);
	}
}

static int
send_targets(struct request *r, const char *path, struct str text, struct why *why)
{
	struct target_file file = {.rest = text};
	struct target target;
	struct buf room;
	struct why inner;
	int more;

	buf_init(&room, TARGET_MAX);
	while ((more = target_file_next(&file, &room, &target, &inner)) == 1) {
		struct msg_agent_forward row = {.kind = target.kind, .text = target.text};
		chan_reply(r->agent->ch, &r->head, MSG_AGENT_FORWARD, &row);
	}
	buf_free(&room);
	return more == 0 ? 0 : why_temp(why, "4.3.5", "%s: %s", path, inner.text);
}

void
read_targets(struct request *r)
{
	char path[4096];
	struct buf text;
	struct why why = {0};
	int fd = -1;

	buf_init(&text, FILE_MAX);
	int rc = open_first(r, &fd, path, sizeof path, &why);
	if (rc == 1)
		rc = read_all(fd, path, &text, &why);
	if (rc == 0 && fd != -1)
		rc = send_targets(r, path, buf_view(&text), &why);
	fd_close(&fd);
	buf_free(&text);
	if (rc == -1)
		request_end(r, &why);
	else
		request_sent(r, "read");
}
