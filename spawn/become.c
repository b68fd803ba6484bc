/* SPDX-License-Identifier: ISC */
/*
 * The child between fork and exec: the only code of the suite that turns root into a user. Order:
 * (1) who, from the system's own database; (2) refuse uid 0, gid 0 and system uids that were asked
 * for by number; (3) the user's mailbox folder, which only root can make; (4) groups, gid, uid, all
 * three of each, checked; (5) descriptors; (6) a clean environment; (7) exec. A failure at any step
 * ends the child. What is run is the delivery agent, or the command of a setting: never what a
 * message says. NSS may block here: it blocks nobody else.
 */
#include "spawn/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/str.h"
#include "lib/service/service.h"

enum { CHANNEL_FD = 3 };

/* No slash, no dot in front: the name becomes the name of a folder. */
static bool
name_is_safe(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

static const struct passwd *
account_find(const struct spawn *sp, const struct identity *who)
{
	errno = 0;
	const struct passwd *pw = getpwnam(who->user);
	if (pw == NULL)
		_exit(errno == 0 || errno == ENOENT || errno == ESRCH ? EX_NOUSER : EX_TEMPFAIL);
	if (!sp->s->privileged && pw->pw_uid != getuid())
		_exit(EX_NOPERM);
	return pw;
}

/* mail_spool_directory below the instance's root where it is relative. */
static int
spool_open(const struct spawn *sp, bool *maildirs)
{
	char path[PATH_MAX];
	const char *spool = sp->conf->mail_spool_directory;
	size_t n = strlen(spool);
	bool absolute = spool[0] == '/';

	if (n == 0)
		return -1;
	*maildirs = spool[n - 1] == '/';
	int length = snprintf(
	    path, sizeof path, "%s%s%s", absolute ? "" : sp->s->root, absolute ? "" : "/", spool);
	if (length < 0 || (size_t)length >= sizeof path)
		return -1;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/*
 * SPOOL/USER is made for the user where it is missing: the spool belongs to root. A folder, or an
 * empty mbox with the spool's group as useradd(8) makes it. What cannot be made here is found
 * missing by the agent, which says so.
 */
static void
mailbox_make(const struct spawn *sp, const struct passwd *pw)
{
	bool maildirs;
	int spool = spool_open(sp, &maildirs), fd = -1;
	struct stat st, made;

	if (spool == -1 || !name_is_safe(pw->pw_name) || fstat(spool, &st) == -1)
		goto out;
	/* A folder that root owns is one that a crash left between mkdir and chown. */
	if (maildirs && (mkdirat(spool, pw->pw_name, 0700) == 0 || errno == EEXIST))
		fd = openat(spool, pw->pw_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	else if (!maildirs)
		fd = openat(
		    spool, pw->pw_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd != -1 && maildirs && (fstat(fd, &made) == -1 || made.st_uid != 0))
		goto out;
	if (fd == -1)
		goto out;
	if (fchown(fd, pw->pw_uid, maildirs ? pw->pw_gid : st.st_gid) == -1 || fsync(fd) == -1 ||
	    fsync(spool) == -1)
		_exit(EX_TEMPFAIL);
out:
	if (fd != -1)
		close(fd);
	if (spool != -1)
		close(spool);
}

static void
ids_drop(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (setresgid(gid, gid, gid) == -1 || setresuid(uid, uid, uid) == -1)
		_exit(EX_TEMPFAIL);
	if (getresuid(&r, &e, &s) == -1 || getresgid(&rg, &eg, &sg) == -1 || r != uid || e != uid ||
	    s != uid || rg != gid || eg != gid || sg != gid || setuid(0) == 0)
		_exit(EX_NOPERM);
}

static void
become_user(const struct spawn *sp, const struct identity *who)
{
	const struct passwd *pw = account_find(sp, who);

	if (!sp->s->privileged)
		return;
	if (pw->pw_uid == 0 || pw->pw_gid == 0)
		_exit(EX_NOPERM);
	if (who->mailbox)
		mailbox_make(sp, pw);
	if (initgroups(pw->pw_name, pw->pw_gid) == -1)
		_exit(EX_TEMPFAIL);
	ids_drop(pw->pw_uid, pw->pw_gid);
}

static void
become_number(const struct spawn *sp, const struct identity *who)
{
	if (!sp->s->privileged) {
		if (who->uid != getuid())
			_exit(EX_NOPERM);
		return;
	}
	if (who->uid == 0 || who->gid == 0 || (int64_t)who->uid < sp->conf->virtual_minimum_uid)
		_exit(EX_NOPERM);
	if (setgroups(0, NULL) == -1)
		_exit(EX_TEMPFAIL);
	ids_drop(who->uid, who->gid);
}

/* 0, 1, 2: /dev/null; 3: the channel; no other. */
static void
descriptors_set(int channel)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (channel != CHANNEL_FD && dup2(channel, CHANNEL_FD) == -1)
		_exit(EX_TEMPFAIL);
	if (fcntl(CHANNEL_FD, F_SETFD, 0) == -1)
		_exit(EX_TEMPFAIL);
	for (int fd = 0; fd < CHANNEL_FD; fd++)
		if (null == -1 || dup2(null, fd) == -1)
			_exit(EX_TEMPFAIL);
	if (close_range(CHANNEL_FD + 1, ~0u, 0) == -1)
		_exit(EX_TEMPFAIL);
}

static void
signals_reset(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL); /* SIGKILL and SIGSTOP refuse, and need none */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void
become_and_run(const struct spawn *sp, const struct identity *who, int channel)
{
	static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
	char *const environment[] = {path, NULL};
	char *const arguments[] = {(char[]){"deliver"}, NULL};

	signals_reset();
	umask(077);
	if (who->user[0] != '\0')
		become_user(sp, who);
	else
		become_number(sp, who);
	if (chdir("/") == -1)
		_exit(EX_TEMPFAIL);
	descriptors_set(channel);
	if (who->command != NULL)
		execve(who->command[0], who->command, environment);
	else
		execve(sp->agent, arguments, environment);
	_exit(EX_UNAVAILABLE);
}
