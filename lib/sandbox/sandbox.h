/* SPDX-License-Identifier: ISC */
/*
 * The privileges of a program, as one table in its folder (sandbox.c), and their application:
 * groups, gid, uid, chroot, no_new_privs, Landlock, seccomp allow-list, resource limits.
 */
#ifndef KP_SANDBOX_SANDBOX_H
#define KP_SANDBOX_SANDBOX_H

#include <stdbool.h>

#include "lib/base/attr.h"

struct why;

/*
 * What a path may be used for (Landlock). A path is absolute, or begins with "spool", "run", "log"
 * or "programs" for the instance's folders of that kind, wherever they are; other relative ones lie
 * below its root.
 */
enum sandbox_access {
	SANDBOX_READ = 1 << 0,   /* read files below, list folders */
	SANDBOX_WRITE = 1 << 1,  /* write and truncate files below */
	SANDBOX_CREATE = 1 << 2, /* make files, links and sockets below */
	SANDBOX_REMOVE = 1 << 3, /* remove and rename below */
	SANDBOX_EXEC = 1 << 4,
	SANDBOX_MKDIR = 1 << 5,
};

struct sandbox_path {
	const char *path; /* missing ones are skipped */
	unsigned access;
};

/* Sets of system calls; every program has the base set: memory, time, signals, read, write, epoll,
 * sendmsg, recvmsg, exit. */
enum sandbox_calls {
	SANDBOX_NET =
	    1 << 0, /* socket (inet, unix), connect, bind, getsockopt, setsockopt, shutdown */
	SANDBOX_ACCEPT = 1 << 1, /* accept4, getpeername, getsockname */
	SANDBOX_FILES = 1 << 2, /* openat, fstat, pread, pwrite, lseek, fdatasync, fsync, ftruncate,
				   fallocate, getdents, mmap of files, flock, fcntl locks */
	SANDBOX_NAMES = 1 << 3, /* renameat2, linkat, unlinkat, mkdirat, fchmod */
	SANDBOX_THREADS = 1 << 4, /* clone for threads, futex, set_robust_list */
	SANDBOX_PROCESS =
	    1 << 5, /* fork, exec, wait, kill, setuid, setgroups: spawn and master alone */
	SANDBOX_SPLICE = 1 << 6, /* splice, sendfile, pipe2, copy_file_range */
	SANDBOX_INOTIFY = 1 << 7,
	SANDBOX_NSS = 1 << 8, /* what modules of NSS and their libraries ask about themselves when
				 they are loaded: who am I, which capabilities are there */
};

struct sandbox {
	const char *user;  /* "kp-smtpd"; NULL: stays root (master, spawn) */
	const char *group; /* NULL: the user's own */
	bool chroot_empty; /* root directory becomes an empty one */
	unsigned calls;    /* enum sandbox_calls */
	bool no_filter; /* no seccomp, no no_new_privs: spawn alone, whose children are not ours */
	const struct sandbox_path *paths; /* ended by {NULL, 0}; NULL: nothing on the file system */
	unsigned long files;              /* RLIMIT_NOFILE at least; 0: as it is */
};

struct sandbox_where {
	const char *root;  /* of the instance, "" for "/" with the system's folders */
	const char *empty; /* an empty directory that root owns */
	const char *user;  /* overrides the table's, "" or NULL: not */
	const struct sandbox_path
	    *paths; /* beside the table's: those of the configuration; NULL: none */
	bool privileged;
};

/* Applies all of it; afterwards a call outside the list ends the process with SIGSYS. -1 with
 * `why`: not all could be applied. */
int sandbox_enter(
    const struct sandbox *sb, const struct sandbox_where *where, struct why *why) KP_MUST_USE;

#endif
