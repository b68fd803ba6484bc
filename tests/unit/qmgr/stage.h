/* SPDX-License-Identifier: ISC */
/*
 * A stage for cleanup and qmgr: both run as the real programs, with everything around them played
 * by the test: master, smtpd, router, a delivering worker, bounce, and a client of the queue
 * socket.
 */
#ifndef KP_TEST_QMGR_STAGE_H
#define KP_TEST_QMGR_STAGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/chan/loop.h"
#include "lib/service/program.h"

enum { STAGE_DELIVERIES = 64, STAGE_CONTENT = 256 * 1024, STAGE_RCPTS = 200 };

/* One DELIVER that the worker got. */
struct stage_delivery {
	char id[64], sender[128], transport[64], nexthop[128];
	struct chan_head head;
	unsigned rcpts[STAGE_RCPTS];
	char address[STAGE_RCPTS][128];
	unsigned actions[STAGE_RCPTS];
	size_t nrcpts, size;
	char *content; /* of the last one kept */
	bool gone, answered;
};

struct stage_program {
	pid_t pid;
	struct chan *master;
	bool ready, failed;
};

/* What the fake worker does with a recipient: by the local part's first word. */
struct stage {
	struct loop loop;
	char root[64];
	const char *cleanup_path, *qmgr_path;
	struct stage_program cleanup, qmgr;
	struct chan *smtpd, *router_of_cleanup, *router_of_qmgr, *remote, *bounce;
	struct stage_delivery deliveries[STAGE_DELIVERIES];
	size_t ndeliveries; /* that have begun, by remote */
	size_t nnotices, nacks, nrunning;
	bool hold_answers; /* deliveries are kept open */
	bool unreachable;  /* the destination never speaks */
	char last_id[64];  /* of the last MAIL_QUEUED */
	struct why last_why;
	size_t nqueued, nrefused;
	char *settings[8][2];
	size_t nsettings;
	/* the queue's client */
	struct chan *client;
	size_t nentries, nentry_rcpts;
	char entries[2048]; /* "ID queue sender reason;" */
	bool done;
	uint64_t done_count;
	int cat_fd;
};

void stage_open(struct stage *st, int argc, char **argv);
void stage_close(struct stage *st);

/* Starts (again) the programs; the channels between and around them are made anew. */
void stage_start_cleanup(struct stage *st);
void stage_start_qmgr(struct stage *st);
void stage_kill(struct stage *st, struct stage_program *p);
void stage_stop(struct stage *st, struct stage_program *p);

/* Rounds of the loop until `condition` holds; fails the test after some seconds. */
void stage_until(struct stage *st, bool (*condition)(struct stage *st), const char *what);
void stage_for(struct stage *st, int ms);

/* Submits a message; the answer counts in nqueued or nrefused. */
void stage_submit(struct stage *st, const char *sender, const char *const *rcpts, size_t n,
    struct str content, const char *parent, uint64_t flags);
/* The same, and waits for the answer. */
void stage_mail(struct stage *st, const char *rcpt, const char *content);

/* Answers a delivery that was held: `status` for all its recipients. */
void stage_answer(struct stage *st, struct stage_delivery *d, unsigned status);

/* Asks by the queue socket, waits for DONE. */
void stage_list(struct stage *st, const char *queue);
void stage_act(struct stage *st, const char *action, const char *id);

size_t stage_count(struct stage *st, const char *folder);

#endif
