/* SPDX-License-Identifier: ISC */
/*
 * The client's side of the milter protocol, version 6: a chain of milters for one session, asked
 * one after the other at each event. It opens nothing itself: its host gets the connections,
 * answers macros, and hears the verdict, at once or later.
 */
#ifndef KP_MILTER_MILTER_H
#define KP_MILTER_MILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"
#include "lib/base/why.h"

struct buf;
struct event_base;
struct milter;
struct milter_mail;
struct milters;
struct setting_list;

enum milter_event {
	MILTER_CONNECT, /* host name, address ("" or "unknown": none), port as text */
	MILTER_HELO,    /* name */
	MILTER_MAIL,    /* <sender>, then each parameter */
	MILTER_RCPT,    /* <recipient>, then each parameter */
	MILTER_DATA,
	MILTER_CONTENT, /* the whole message */
	MILTER_EVENTS,
};

enum milter_verdict {
	MILTER_CONTINUE,
	MILTER_REFUSE,  /* `why` is the reply */
	MILTER_DISCARD, /* take the message and throw it away */
};

/* An edit of the envelope, or quarantine: enum mail_edit of lib/msg/fields.h. */
typedef bool milter_edit_fn(void *arg, unsigned kind, struct str text);

struct milter_host {
	/* milter_connected() follows, not before this returns. False: it cannot be had. */
	bool (*connect)(void *arg, struct milter *m, const char *target);
	/* The connection is not wanted any more. */
	void (*forget)(void *arg, struct milter *m);
	/* The macro's value ("j", "{auth_authen}"); false: it has none now. */
	bool (*macro)(void *arg, struct str name, struct buf *out);
	milter_edit_fn *edit;
	/* The verdict on the event under way. May free the chain. */
	void (*done)(void *arg, enum milter_verdict verdict, const struct why *why);
};

/* What a list setting names, with the defaults of the settings beside it. */
struct milter_times {
	int64_t connect_ms, command_ms, content_ms;
	int64_t action; /* enum milter_default */
};

enum milter_default {
	MILTER_DEFAULT_TEMPFAIL,
	MILTER_DEFAULT_ACCEPT,
	MILTER_DEFAULT_REJECT,
	MILTER_DEFAULT_QUARANTINE,
};
extern const char *const milter_default_words[]; /* for the settings table */

struct milter_spec {
	char *target; /* "inet:127.0.0.1:8891", "unix:/path" */
	struct milter_times times;
};

struct milter_list {
	struct milter_spec *specs; /* owned */
	size_t n;
};

/* "inet:host:port", "unix:/path" or "{ inet:host:port, connect_timeout=10s, default_action=accept
 * }"; -1 with `why`: what was expected. */
int milter_list_parse(struct milter_list *list, const struct setting_list *items,
    const struct milter_times *defaults, struct why *why) KP_MUST_USE;
void milter_list_clear(struct milter_list *list);

/* The macros of each event, by default: Postfix's milter_connect_macros and so on. */
extern const char *const milter_macros[MILTER_EVENTS];
extern const char *const milter_eoh_macros, *const milter_eom_macros;

/* `list` outlives the chain. */
struct milters *milters_new(struct event_base *base, const struct milter_list *list,
    const struct milter_host *host, void *arg);

/* Says goodbye and closes. Clears the caller's pointer; NULL is fine. */
void milters_free(struct milters **mp);

/*
 * Asks every milter about the event. `args` are copied. For MILTER_CONTENT `mail` is the message,
 * which they may change; it must live until the verdict. done() is called once, never before this
 * returns.
 */
void milters_ask(struct milters *ms, enum milter_event event, const struct str *args, size_t nargs,
    struct milter_mail *mail);

/* The message under way is over without a verdict on its content (RSET, the session's end). */
void milters_abort(struct milters *ms);

/* The event under way is given up: its verdict is not wanted any more. Who was asked is taken for
 * one that has failed. */
void milters_give_up(struct milters *ms);

/* The connection that the host was asked for; -1: it failed, as `why` says. */
void milter_connected(struct milter *m, int fd, const struct why *why);

#endif
