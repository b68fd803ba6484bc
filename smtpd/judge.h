/* SPDX-License-Identifier: ISC */
/*
 * One evaluation of the restriction lists: who is judged, what is known, what has been found. It
 * runs on the stack; where it has to wait it is kept on the heap, and runs again from the start
 * when the answer is there. So whatever a restriction does besides answering (a line in the log, a
 * change to the message) is an effect, noted in the run and carried out at its end, once.
 */
#ifndef SMTPD_JUDGE_H
#define SMTPD_JUDGE_H

#include <event2/event_struct.h>

#include "lib/access/action.h"
#include "lib/access/list.h"
#include "lib/chan/chan.h"
#include "smtpd/facts.h"
#include "smtpd/smtpd.h"
#include "smtpd/stage.h"

struct judge;
struct policy_request;
struct verify_question;

enum verdict {
	VERDICT_DUNNO,
	VERDICT_OK,
	VERDICT_REJECT, /* judge.why says why */
	VERDICT_WAIT,   /* judge.want is wanted */
};

/* Who and what is judged; all borrowed. */
struct subject {
	const char *client_name, *client_addr;
	uint16_t client_port;
	bool trusted;
	const char *helo;                /* NULL: not said */
	const struct addr *sender;       /* NULL: not said */
	const char *rcpt;                /* NULL: not said */
	const struct route *route;       /* of it */
	const char *login, *sasl_method; /* NULL: none */
	const char *etrn;
	uint64_t size;
	size_t nrcpts;
	bool esmtp;
	bool pipelined;
	const char *protocol_state;                                               /* "RCPT" */
	const char *tls_protocol, *tls_cipher, *fingerprint, *pubkey_fingerprint; /* NULL: none */
	const char *cert_subject, *cert_issuer;
	unsigned tls_bits;
	bool tls, verified;
	char instance[40];
};

/* What stands in replies: "<a@b>: Sender address rejected: ...". */
struct reply_about {
	const char *name;  /* what was said */
	const char *class; /* "Sender address" */
};

struct effect {
	const char *log;     /* "hold", "warn"; NULL: nothing is logged */
	char *text;          /* owned */
	enum mail_edit edit; /* EDIT_NONE: the message stays as it is */
	char *name, *value;  /* owned */
};

struct judge {
	struct server *server;
	struct session *s; /* NULL: `kingpost smtp test` */
	uint64_t trace;
	enum stage stage;
	struct subject who;
	struct map *facts;   /* what may be kept for the transaction */
	struct map *moments; /* what is true for this evaluation only; NULL: nothing yet */
	bool own_facts;      /* `facts` goes with the evaluation */
	struct buf *explain; /* one line a rule; NULL: not wanted */
	void (*done)(void *arg, const struct why *why); /* a test's end; the judge is gone then */
	void *done_arg;

	/* the run */
	enum access_stage at; /* the list under way */
	bool warn;            /* warn_if_reject stands before the rule under way */
	bool listed;          /* the recipient has been looked for already */
	unsigned sleeps, depth;
	struct why why;
	struct why defer_if_permit, defer_if_reject; /* class WHY_NONE: not asked for */
	struct effect *effects;
	size_t neffects;

	/* the question that is wanted, and the one under way */
	struct fact_question want;
	struct fact *answer; /* what has come of it so far */
	struct chan *ch;
	uint32_t request;
	struct policy_request *policy;
	struct verify_question *verify;
	bool asking, answered; /* greylist_ask() is at work, and has answered at once */
	struct event ev_timer; /* where there is no session */
	bool timed, starting;
};

/* --- for the run --- */

/* judge_ask.c. Puts the question that is wanted; true where the answer is there already. */
bool judge_ask(struct judge *j);
void judge_question_drop(struct judge *j);
/* On with the run after so many ms, unless an answer comes before. */
void judge_wait(struct judge *j, int64_t ms);

/* A judge on the heap runs again, and either asks again or is done: it may be gone then. */
void judge_run_on(struct judge *j);

/* judge_say.c. Carries out what the run has noted; false where the message has too many changes. */
bool judge_effects_do(struct judge *j);
void judge_effects_clear(struct judge *j);

/* --- for the restrictions --- */

typedef enum verdict rule_fn(struct judge *j, const struct access_rule *rule);

rule_fn *rule_function(enum rule_id id);

/* Runs a list; `at` is where its bare words and replies belong. */
enum verdict judge_list(
    struct judge *j, const struct access_rules_list *list, enum access_stage at);

/* A fact, or NULL: VERDICT_WAIT is then to be returned. */
const struct fact *judge_dns(struct judge *j, unsigned type, const char *name);
const struct fact *judge_table(
    struct judge *j, const char *map, enum access_kind kind, struct str key);
const struct fact *judge_route(struct judge *j, struct str address);
const struct fact *judge_policy(struct judge *j, unsigned server, struct str request);
const struct fact *judge_grey(struct judge *j);
const struct fact *judge_verified(struct judge *j, struct str address);
/* Whether the sleep with this number is over. */
bool judge_slept(struct judge *j, unsigned number, int64_t ms);

/* Refuses: `smtp` from a setting, `code` an enhanced code whose first digit follows it. Minds
 * warn_if_reject and DEFER_IF_REJECT. */
enum verdict judge_refuse(struct judge *j, int smtp, const char *code, const char *fmt, ...)
    KP_PRINTF(4, 5);

/* Refuses in the end what would pass, or would be refused for good; the first one counts. */
void judge_defer_if_permit(struct judge *j, int smtp, const char *code, const char *fmt, ...)
    KP_PRINTF(4, 5);
void judge_defer_if_reject(struct judge *j, int smtp, const char *code, const char *fmt, ...)
    KP_PRINTF(4, 5);

/* "Server configuration error": the log says what it is. */
enum verdict judge_broken(struct judge *j, const char *what);

void judge_effect(struct judge *j, const char *log, struct str text, enum mail_edit edit,
    struct str name, struct str value);

/* Does what a table or a policy server says. */
enum verdict judge_action(
    struct judge *j, const struct reply_about *about, struct str action, const char *who_says);

/* "client.example[192.0.2.1]" */
const char *judge_client(const struct judge *j, char *out, size_t size);

/* The name that PTR gives, and whether its addresses have the client's: facts as judge_dns(). */
enum name_found { NAME_WAIT, NAME_NONE, NAME_UNSURE, NAME_FOUND };
enum name_found judge_reverse_name(struct judge *j, char *out, size_t size);
enum name_found judge_forward_name(struct judge *j);

/* The octets of the client's address: 4 or 16. */
size_t judge_octets(const struct judge *j, unsigned char *ip);

/* The recipient is none of ours, or is unknown: what smtpd_reject_unlisted_recipient does. */
enum verdict judge_unlisted_rcpt(struct judge *j);
enum verdict judge_unlisted_sender(struct judge *j);

/* What the replies of the list under way are about. */
struct reply_about judge_about(struct judge *j, char *room, size_t size);

/* Starts a test: `who` lives until `done`, or until the judge is freed. */
struct judge *judge_test(struct server *server, const struct subject *who, enum stage stage,
    struct buf *explain, void (*done)(void *arg, const struct why *why), void *arg) KP_MUST_USE;
void judge_free(struct judge **jp);

/* Rules by their subject. */
rule_fn rule_rbl, rule_rhsbl, rule_dnswl;                 /* restrict_rbl.c */
rule_fn rule_access, rule_ccert_access, rule_host_access; /* restrict_access.c */
rule_fn rule_policy;                                      /* policy.c */
rule_fn rule_spf;                                         /* restrict_spf.c */
rule_fn rule_unverified_sender, rule_unverified_rcpt;     /* restrict_verify.c */

#endif
