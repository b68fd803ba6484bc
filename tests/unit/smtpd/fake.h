/* SPDX-License-Identifier: ISC */
/*
 * smtpd with everything around it: a service without master, and router, resolver, cleanup, keeper,
 * limiter, qmgr and logger played by this file over real channels on the same loop. Takes the place
 * of lib/service.
 */
#ifndef TESTS_SMTPD_FAKE_H
#define TESTS_SMTPD_FAKE_H

#include "lib/base/buf.h"
#include "lib/service/service.h"
#include "smtpd/conf.h"
#include "smtpd/smtpd.h"

struct fake_mail {
	struct buf envelope, content;
	int pipe;
	uint32_t id;
	bool refuse;
};

struct fake {
	struct service service;
	struct smtpd_conf conf;
	struct server *server;
	struct chan *near[PROGRAM_COUNT], *far[PROGRAM_COUNT]; /* smtpd's ends, ours */
	struct chan *log_near, *log_far;
	struct buf log; /* rendered lines */
	struct fake_mail mails[64];
	size_t nmails;
	struct buf mail;    /* "from=<> to=<> ..." of each committed message, a line each */
	struct buf content; /* of the last one */
	unsigned questions; /* asked of router */
	uint64_t held;      /* that limiter was told to hold */
	unsigned cancelled; /* logins that smtpd gave up */
	bool exited;
};

/* Settings that differ from the defaults: "name = value". */
void fake_start(struct fake *f);
void fake_set(struct fake *f, const char *name, const char *value);
void fake_stop(struct fake *f);

/* A client at `address` ("192.0.2.1"); returns its end of the connection, non-blocking. */
int fake_connect(struct fake *f, const char *address);

/* A caller of `sendmail -bs`, as pickup hands it over. */
int fake_local(struct fake *f, uint64_t uid, const char *origin);

/* A few rounds of the loop, until nothing happens any more. */
void fake_rounds(struct fake *f);

/* Closes the channel to a partner, as if it had died. */
void fake_kill(struct fake *f, enum program p);

#endif
