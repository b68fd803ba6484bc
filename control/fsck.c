/* SPDX-License-Identifier: ISC */
/* queue fsck: every file, every checksum, the index; then the index anew. The suite must be
 * stopped: the queue is qmgr's while it runs. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "control/kingpost.h"
#include "lib/base/io.h"
#include "lib/base/why.h"
#include "lib/queue/folders.h"
#include "lib/queue/fsck.h"
#include "lib/queue/qindex.h"
#include "lib/queue/rebuild.h"

enum { INDEX_READERS = 2, BAR_WIDTH = 40 };
#define INDEX_SIZE_MAX (64ULL << 30)

struct progress {
	const char *what;
	bool terminal;
};

static void
on_problem(void *arg, const char *where, const char *what)
{
	(void)arg;
	printf("\r%s: %s\n", where, what);
}

static void
on_progress(void *arg, uint64_t done, uint64_t total)
{
	const struct progress *p = arg;
	int filled = total > 0 ? (int)(done * BAR_WIDTH / total) : BAR_WIDTH;

	if (!p->terminal && done != total)
		return;
	fprintf(stderr, "\r%s [%.*s%*s] %" PRIu64 "/%" PRIu64 "%s", p->what, filled,
	    "########################################", BAR_WIDTH - filled, "", done, total,
	    done == total ? "\n" : "");
}

static int
check(const struct folders *f, uint64_t *problems, struct why *why)
{
	struct progress p = {"check", isatty(STDERR_FILENO)};
	struct fsck fs = {.on_problem = on_problem, .on_progress = on_progress, .arg = &p};

	if (fsck_run(&fs, f, NULL, why) == -1)
		return -1;
	printf("%" PRIu64 " messages in %" PRIu64 " files and segments, %" PRIu64
	       " unfinished, %" PRIu64 " problem%s\n",
	    fs.messages, fs.total, fs.unfinished, fs.problems, fs.problems == 1 ? "" : "s");
	*problems = fs.problems;
	return 0;
}

static void
on_damage(void *arg, const char *name, const char *reason)
{
	(void)arg;
	printf("\r%s: moved to corrupt/: %s\n", name, reason);
}

static int
rebuild(const struct folders *f, const char *path, struct why *why)
{
	struct progress p = {"index", isatty(STDERR_FILENO)};
	struct rebuild_hooks hooks = {
	    .on_progress = on_progress, .on_damage = on_damage, .arg = &p};
	bool was_gone;
	int more = -1;

	struct qindex *ix = qindex_open(path, INDEX_SIZE_MAX, STR("fsck"), &was_gone, why);
	if (ix != NULL && !was_gone) { /* after a clean end it counts as good */
		qindex_distrust(ix);
		qindex_close(&ix, false);
		ix = qindex_open(path, INDEX_SIZE_MAX, STR("fsck"), &was_gone, why);
	}
	if (ix == NULL)
		return -1;
	struct rebuild *rb = rebuild_new(f, ix, INDEX_READERS, &hooks, why);
	if (rb != NULL)
		while ((more = rebuild_step(rb, why)) == 1)
			;
	rebuild_free(&rb);
	qindex_close(&ix, more == 0);
	return more;
}

/* What is made here must be qmgr's: root goes on as the folder's owner. */
static int
become_owner(int queue, struct why *why)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (fstatat(queue, "cur", &st, AT_SYMLINK_NOFOLLOW) == -1)
		return why_sys(why, NULL, "look at the queue");
	if (setgroups(0, NULL) == -1 || setegid(st.st_gid) == -1 || seteuid(st.st_uid) == -1)
		return why_sys(why, NULL, "go on as the queue's owner");
	return 0;
}

int
cmd_queue_fsck(struct kingpost *k, int argc, char **argv)
{
	char path[PATH_MAX + 32];
	struct folders f;
	struct why why;
	uint64_t problems = 0;

	(void)argv;
	if (argc > 1)
		return EX_USAGE;
	struct chan_client *c = client_connect(k, "queue", &why);
	if (c != NULL) {
		chan_client_free(&c);
		complain("the mail system is running; stop it first: kingpost stop");
		return EX_TEMPFAIL;
	}
	snprintf(path, sizeof path, "%s/queue", k->layout.spool);
	int queue = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (queue == -1) {
		complain("%s: %s", path, strerror(errno));
		return EX_OSFILE;
	}
	int result = become_owner(queue, &why);
	if (result == 0)
		result = folders_open(&f, queue, &why);
	close(queue);
	if (result == 0) {
		snprintf(path, sizeof path, "%s/queue/index", k->layout.spool);
		result = check(&f, &problems, &why);
		if (result == 0)
			result = rebuild(&f, path, &why);
		folders_close(&f);
	}
	if (result == -1) {
		complain("%s", why.text);
		return EX_IOERR;
	}
	return problems > 0 ? EX_DATAERR : EX_OK;
}
