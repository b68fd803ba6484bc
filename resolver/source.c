/* SPDX-License-Identifier: ISC */
/* Watched files, by identity: a look every second or two costs a system call. */
#include "resolver/source.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/log/log.h"

void
source_open(struct source *s, const char *path)
{
	char real[PATH_MAX];
	const char *found = realpath(path, real) != NULL ? real : path;
	char *first = xstrdup(found), *second = xstrdup(found);

	*s = (struct source){.dir = -1};
	s->folder = xstrdup(dirname(first));
	s->name = xstrdup(basename(second));
	s->dir = open(s->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(first);
	free(second);
}

bool
source_changed(struct source *s)
{
	struct stat st = {0};

	if (s->dir != -1 && fstatat(s->dir, s->name, &st, 0) == -1)
		memset(&st, 0, sizeof st);
	uint64_t now[5] = {(uint64_t)st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
	    (uint64_t)st.st_mtim.tv_nsec, 1 + (uint64_t)st.st_dev};
	if (memcmp(now, s->stamp, sizeof now) == 0)
		return false;
	memcpy(s->stamp, now, sizeof now);
	return true;
}

void
source_read(const struct source *s, struct buf *text)
{
	struct why why;

	buf_reset(text);
	if (s->dir == -1)
		return;
	if (file_read(s->dir, s->name, text, &why) == -1) {
		log_warning("%s/%s: %s", s->folder, s->name, why.text);
		buf_reset(text);
	}
}
