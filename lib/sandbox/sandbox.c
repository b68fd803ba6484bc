/* SPDX-License-Identifier: ISC */
/*
 * From root to almost nothing, in an order that cannot be turned round: what needs names or
 * privilege first (account, Landlock rules), then groups, gid, chroot, uid, no_new_privs, Landlock,
 * and seccomp last. Refusals leave the process half dressed: the caller ends it, unless the
 * configuration says that less will do.
 */
#include "lib/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <pwd.h>
#include <seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/why.h"
#include "lib/sandbox/landlock.h"

struct account {
	uid_t uid;
	gid_t gid;
};

/* --- seccomp --- */

#define CALL(name) SCMP_SYS(name)

static const int base_calls[] = {
    CALL(read),
    CALL(write),
    CALL(pread64),
    CALL(readv),
    CALL(writev),
    CALL(close),
    CALL(close_range),
    CALL(fcntl),
    CALL(dup),
    CALL(dup3),
    CALL(fstat),
    CALL(newfstatat),
    CALL(lseek),
    CALL(brk),
    CALL(mmap),
    CALL(munmap),
    CALL(mprotect),
    CALL(mremap),
    CALL(madvise),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(rt_sigtimedwait),
    CALL(sigaltstack),
    CALL(getpid),
    CALL(gettid),
    CALL(getppid),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL(exit),
    CALL(exit_group),
    CALL(tgkill),
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(clock_nanosleep),
    CALL(nanosleep),
    CALL(gettimeofday),
    CALL(time),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    CALL(epoll_pwait2),
    CALL(eventfd2),
    CALL(poll),
    CALL(ppoll),
    CALL(select),
    CALL(timerfd_create),
    CALL(timerfd_settime),
    CALL(getrandom),
    CALL(recvmsg),
    CALL(sendmsg),
    CALL(recvfrom),
    CALL(sendto),
    CALL(recvmmsg),
    CALL(sendmmsg),
    CALL(futex),
    CALL(restart_syscall),
    CALL(getrusage),
    CALL(sched_yield),
    CALL(uname),
    CALL(sysinfo),
    CALL(rseq),
    CALL(prlimit64),
    CALL(sched_getaffinity),
    CALL(shutdown),
};

static const int net_calls[] = {
    CALL(socket),
    CALL(connect),
    CALL(bind),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(getsockname),
    CALL(getpeername),
    CALL(ioctl),
    CALL(socketpair),
};

static const int accept_calls[] = {
    CALL(accept),
    CALL(accept4),
    CALL(getpeername),
    CALL(getsockname),
    CALL(getsockopt),
    CALL(setsockopt),
};

static const int file_calls[] = {
    CALL(openat),
    CALL(open),
    CALL(stat),
    CALL(lstat),
    CALL(statx),
    CALL(access),
    CALL(faccessat),
    CALL(faccessat2),
    CALL(pwrite64),
    CALL(preadv),
    CALL(pwritev),
    CALL(fdatasync),
    CALL(fsync),
    CALL(msync),
    CALL(ftruncate),
    CALL(fallocate),
    CALL(getdents64),
    CALL(flock),
    CALL(fstatfs),
    CALL(statfs),
    CALL(sync_file_range),
    CALL(fadvise64),
    CALL(readlink),
    CALL(readlinkat),
    CALL(getcwd),
};

static const int name_calls[] = {
    CALL(rename),
    CALL(renameat),
    CALL(renameat2),
    CALL(link),
    CALL(linkat),
    CALL(unlink),
    CALL(unlinkat),
    CALL(mkdir),
    CALL(mkdirat),
    CALL(rmdir),
    CALL(chmod),
    CALL(fchmod),
    CALL(fchmodat),
    CALL(utimensat),
    CALL(umask),
};

static const int thread_calls[] = {
    CALL(set_robust_list),
    CALL(set_tid_address),
    CALL(sched_getparam),
    CALL(sched_getscheduler),
    CALL(sched_get_priority_max),
    CALL(sched_get_priority_min),
    CALL(sched_setscheduler),
};

static const int process_calls[] = {
    CALL(clone),
    CALL(clone3),
    CALL(fork),
    CALL(vfork),
    CALL(execve),
    CALL(wait4),
    CALL(waitid),
    CALL(kill),
    CALL(setpgid),
    CALL(setsid),
    CALL(pipe2),
    CALL(dup2),
};

static const int splice_calls[] = {
    CALL(splice),
    CALL(tee),
    CALL(sendfile),
    CALL(pipe),
    CALL(pipe2),
    CALL(copy_file_range),
};

static const int inotify_calls[] = {
    CALL(inotify_init1),
    CALL(inotify_add_watch),
    CALL(inotify_rm_watch),
};

static const int nss_calls[] = {
    CALL(getresuid),
    CALL(getresgid),
    CALL(getgroups),
    CALL(capget),
    CALL(umask),
    CALL(getxattr),
    CALL(lgetxattr),
    CALL(fgetxattr),
    CALL(arch_prctl),
};

/* What the runtime of a sanitizer build does on its own account; such a build is for tests alone.
 */
static const int sanitizer_calls[] = {
#if defined(__SANITIZE_ADDRESS__)
    CALL(openat),
    CALL(open),
    CALL(stat),
    CALL(lstat),
    CALL(readlink),
    CALL(getdents64),
    CALL(prctl),
    CALL(arch_prctl),
    CALL(clone),
    CALL(set_robust_list),
    CALL(ioctl),
    CALL(sched_getaffinity),
    CALL(rt_sigtimedwait),
#endif
    CALL(getpid),
};

static int
allow(scmp_filter_ctx filter, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) != 0)
			return -1;
	return 0;
}

/* Threads, but not processes: clone() with CLONE_THREAD; clone3(), whose flags a filter cannot see,
 * is "not there". */
static int
allow_threads(scmp_filter_ctx filter)
{
	if (allow(filter, thread_calls, NELEM(thread_calls)) == -1)
		return -1;
	if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(clone), 1,
		SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) != 0)
		return -1;
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0) == 0 ? 0 : -1;
}

/* A module may be loaded at any time: libc reads nsswitch.conf again when it has changed. */
static int
allow_nss(scmp_filter_ctx filter)
{
	static const unsigned long questions[] = {
	    PR_CAPBSET_READ, PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_KEEPCAPS, PR_GET_SECUREBITS};

	for (size_t i = 0; i < NELEM(questions); i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(prctl), 1,
			SCMP_A0(SCMP_CMP_EQ, questions[i])) != 0)
			return -1;
	return allow(filter, nss_calls, NELEM(nss_calls));
}

static int
enter_filter(unsigned sets, struct why *why)
{
	static const struct {
		unsigned set;
		const int *calls;
		size_t n;
	} rows[] = {
	    {SANDBOX_NET,     net_calls,     NELEM(net_calls)    },
	    {SANDBOX_ACCEPT,  accept_calls,  NELEM(accept_calls) },
	    {SANDBOX_FILES,   file_calls,    NELEM(file_calls)   },
	    {SANDBOX_NAMES,   name_calls,    NELEM(name_calls)   },
	    {SANDBOX_PROCESS, process_calls, NELEM(process_calls)},
	    {SANDBOX_SPLICE,  splice_calls,  NELEM(splice_calls) },
	    {SANDBOX_INOTIFY, inotify_calls, NELEM(inotify_calls)},
	};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	bool fine = filter != NULL && allow(filter, base_calls, NELEM(base_calls)) == 0 &&
		    allow(filter, sanitizer_calls, NELEM(sanitizer_calls)) == 0;

	for (size_t i = 0; i < NELEM(rows) && fine; i++)
		if ((sets & rows[i].set) != 0)
			fine = allow(filter, rows[i].calls, rows[i].n) == 0;
	if (fine && (sets & SANDBOX_THREADS) != 0)
		fine = allow_threads(filter) == 0;
	if (fine && (sets & SANDBOX_NSS) != 0)
		fine = allow_nss(filter) == 0;
	int error = fine ? seccomp_load(filter) : 0;
	if (filter != NULL)
		seccomp_release(filter);
	if (!fine)
		return why_temp(why, NULL, "sandbox: the system call filter cannot be built");
	if (error != 0) {
		errno = -error;
		return why_sys(why, NULL, "sandbox: the system call filter is refused");
	}
	return 0;
}

/* --- users --- */

static int
find_account(const struct sandbox *sb, const struct sandbox_where *where, struct account *account,
    struct why *why)
{
	const char *user = where->user != NULL && where->user[0] != '\0' ? where->user : sb->user;
	struct passwd *pw = getpwnam(user);

	if (pw == NULL)
		return why_temp(why, NULL, "sandbox: there is no user %s", user);
	*account = (struct account){pw->pw_uid, pw->pw_gid};
	if (sb->group != NULL) {
		struct group *gr = getgrnam(sb->group);
		if (gr == NULL)
			return why_temp(why, NULL, "sandbox: there is no group %s", sb->group);
		account->gid = gr->gr_gid;
	}
	if (account->uid == 0)
		return why_temp(why, NULL, "sandbox: user %s is root", user);
	return 0;
}

static int
become(const struct account *account, const char *root, struct why *why)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap) == -1)
			return why_sys(why, NULL, "sandbox: drop capability %d", cap);
	if (setgroups(1, &account->gid) == -1 ||
	    setresgid(account->gid, account->gid, account->gid) == -1)
		return why_sys(why, NULL, "sandbox: become group %u", (unsigned)account->gid);
	if (root != NULL && (chroot(root) == -1 || chdir("/") == -1))
		return why_sys(why, NULL, "sandbox: chroot to %s", root);
	if (setresuid(account->uid, account->uid, account->uid) == -1)
		return why_sys(why, NULL, "sandbox: become user %u", (unsigned)account->uid);
	if (setresuid(0, 0, 0) == 0)
		return why_temp(why, NULL, "sandbox: root could be had back");
	return 0;
}

/* As far as it goes: where even root may not have more (a container), sessions are refused beyond
 * it. */
static void
raise_files(unsigned long files)
{
	struct rlimit limit;

	if (files == 0 || getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur >= files)
		return;
	const struct rlimit wanted = {files, limit.rlim_max > files ? limit.rlim_max : files};
	if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* up to the hard limit is always allowed */
}

int
sandbox_enter(const struct sandbox *sb, const struct sandbox_where *where, struct why *why)
{
	struct account account;
	bool change_user = where->privileged && sb->user != NULL;
	int ruleset = -2;

	raise_files(sb->files);
	if (change_user && find_account(sb, where, &account, why) == -1)
		return -1;
	if (!sb->no_filter &&
	    (ruleset = landlock_prepare(sb->paths, where->paths, where->root, why)) == -1)
		return -1;
	if (change_user && become(&account, sb->chroot_empty ? where->empty : NULL, why) == -1)
		return -1;
	if (sb->no_filter)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return why_sys(why, NULL, "sandbox: no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		return why_sys(why, NULL, "sandbox: not dumpable");
	if (ruleset >= 0 && landlock_enter(ruleset, why) == -1)
		return -1;
	return enter_filter(sb->calls, why);
}
