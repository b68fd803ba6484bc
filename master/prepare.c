/* SPDX-License-Identifier: ISC */
/*
 * The folders of an instance with their owners and modes, as one table, made or mended at each
 * start; and the lock that keeps a second master away. A parent folder that the suite's users could
 * not search is found here rather than by the first mail.
 */
#include <errno.h>
#include <fcntl.h>
#include <bsd/libutil.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/why.h"
#include "master/master.h"

static const struct {
	size_t base; /* offset in struct layout */
	const char *path;
	const char *user, *group;
	mode_t mode;
} folders[] = {
    {offsetof(struct layout, spool), "",               NULL,         NULL,         0755 },
    {offsetof(struct layout, run),   "",               NULL,         NULL,         0755 },
    {offsetof(struct layout, run),   "/empty",         NULL,         NULL,         0755 },
    {offsetof(struct layout, log),   "",               "kp-log",     "adm",        0750 },
    {offsetof(struct layout, spool), "/maildrop",      "kp-pickup",  "kp-drop",    01730},
    {offsetof(struct layout, spool), "/auth",          "kp-keeper",  "kp-keeper",  0700 },
    {offsetof(struct layout, spool), "/limiter",       "kp-limiter", "kp-limiter", 0700 },
    {offsetof(struct layout, spool), "/queue",         NULL,         NULL,         0755 },
    {offsetof(struct layout, spool), "/queue/new",     "kp-queue",   "kp-queue",   0770 },
    {offsetof(struct layout, spool), "/queue/cur",     "kp-queue",   "kp-queue",   0700 },
    {offsetof(struct layout, spool), "/queue/hold",    "kp-queue",   "kp-queue",   0700 },
    {offsetof(struct layout, spool), "/queue/corrupt", "kp-queue",   "kp-queue",   0700 },
    {offsetof(struct layout, spool), "/queue/tmp",     "kp-queue",   "kp-queue",   0700 },
    {offsetof(struct layout, spool), "/queue/index",   "kp-queue",   "kp-queue",   0700 },
    {offsetof(struct layout, spool), "/queue/results", "kp-queue",   "kp-queue",   0700 },
};

static int
find_ids(const char *user, const char *group, uid_t *uid, gid_t *gid, struct why *why)
{
	*uid = 0;
	*gid = 0;
	if (user == NULL)
		return 0;
	struct passwd *pw = getpwnam(user);
	struct group *gr = getgrnam(group);
	if (pw == NULL || gr == NULL)
		return why_perm(why, NULL,
		    "there is no %s %s; systemd-sysusers or scripts/run makes it",
		    pw == NULL ? "user" : "group", pw == NULL ? user : group);
	*uid = pw->pw_uid;
	*gid = gr->gr_gid;
	return 0;
}

static int
prepare_folder(const struct master *m, size_t i, struct why *why)
{
	char path[PATH_MAX];
	struct stat st;
	uid_t uid;
	gid_t gid;

	snprintf(path, sizeof path, "%s%s", (const char *)&m->all.layout + folders[i].base,
	    folders[i].path);
	if (mkdir_all(path, 0700) == -1)
		return why_sys(why, NULL, "make folder %s", path);
	/* No link is followed: what lies in the spool may be another user's work. */
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1) {
		fd_close(&fd);
		return why_sys(why, NULL, "open folder %s", path);
	}
	int result = 0;
	if (m->privileged && find_ids(folders[i].user, folders[i].group, &uid, &gid, why) == -1)
		result = -1;
	else if (m->privileged && (st.st_uid != uid || st.st_gid != gid) &&
		 fchown(fd, uid, gid) == -1)
		result = why_sys(why, NULL, "change the owner of %s", path);
	else if ((st.st_mode & 07777) != folders[i].mode && fchmod(fd, folders[i].mode) == -1)
		result = why_sys(why, NULL, "change the mode of %s", path);
	close(fd);
	return result;
}

/* Users of the suite must get through to its files: every folder above must let others search it.
 */
static int
check_parents(const char *path, struct why *why)
{
	char part[PATH_MAX];
	struct stat st;

	snprintf(part, sizeof part, "%s", path);
	for (char *slash = strrchr(part, '/'); slash != NULL; slash = strrchr(part, '/')) {
		*slash = '\0';
		const char *folder = part[0] != '\0' ? part : "/";
		if (stat(folder, &st) == 0 && (st.st_mode & S_IXOTH) == 0)
			return why_perm(why, NULL,
			    "%s cannot be searched by the suite's users (mode %03o); try: chmod "
			    "o+x %s",
			    folder, st.st_mode & 0777, folder);
	}
	return 0;
}

int
prepare_folders(const struct master *m, struct why *why)
{
	umask(022);
	if (m->privileged && check_parents(m->all.layout.spool, why) == -1)
		return -1;
	for (size_t i = 0; i < NELEM(folders); i++)
		if (prepare_folder(m, i, why) == -1)
			return -1;
	return 0;
}

int
prepare_pidfile(struct master *m, struct why *why)
{
	char path[PATH_MAX];
	pid_t other = 0;

	if (snprintf(path, sizeof path, "%s/master.pid", m->all.layout.run) >= (int)sizeof path)
		return why_perm(why, NULL, "the path of the pid file is too long");
	m->pidfile = pidfile_open(path, 0644, &other);
	if (m->pidfile == NULL && errno == EEXIST)
		return why_perm(
		    why, NULL, "another master (pid %d) is running on this instance", (int)other);
	if (m->pidfile == NULL)
		return why_sys(why, NULL, "open %s", path);
	if (pidfile_write(m->pidfile) == -1)
		return why_sys(why, NULL, "write %s", path);
	return 0;
}
