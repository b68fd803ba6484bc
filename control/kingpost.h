/* SPDX-License-Identifier: ISC */
/* What the parts of the kingpost command share. */
#ifndef KP_CONTROL_KINGPOST_H
#define KP_CONTROL_KINGPOST_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/layout.h"
#include "lib/chan/chan.h"
#include "lib/conf/config.h"
#include "settings/all.h"

struct why;

struct kingpost {
	struct layout layout;
	struct settings_all all;
};

/* A command's own arguments, argv[0] being its last word; the exit status (sysexits). */
typedef int command_fn(struct kingpost *k, int argc, char **argv);

command_fn cmd_start, cmd_stop, cmd_reload, cmd_status;                  /* lifecycle.c, status.c */
command_fn cmd_check, cmd_conf;                                          /* conf.c */
command_fn cmd_map_build, cmd_map_query, cmd_address_test;               /* tables.c */
command_fn cmd_queue_list, cmd_queue_show, cmd_queue_act, cmd_queue_cat; /* queue.c */
command_fn cmd_queue_fsck;                                               /* fsck.c */
command_fn cmd_account_act;                                              /* account.c */
command_fn cmd_block_list, cmd_block_remove, cmd_block_add;              /* block.c */
command_fn cmd_user_add, cmd_user_passwd, cmd_user_list, cmd_user_delete; /* user.c */
command_fn cmd_verify_show, cmd_verify_forget;                            /* verify.c */
command_fn cmd_smtp_test;                                                 /* smtp.c */
command_fn cmd_manual;                                                    /* manual.c */

/* client.c: conversations with the suite. Each complains by itself. */
enum { REPLY_TIMEOUT_MS = 60 * 1000 };
void complain(const char *fmt, ...) KP_PRINTF(1, 2);
/* run/NAME, or NULL. */
struct chan_client *client_connect(
    const struct kingpost *k, const char *name, struct why *why) KP_MUST_USE;
/* A channel to a program, by master's leave. */
struct chan_client *client_program(
    const struct kingpost *k, const char *program, struct why *why) KP_MUST_USE;
/*
 * Sends a request and calls `on_row` for each message that comes before the end: DONE, whose count
 * goes to `*count` (may be NULL). -1 with `why` where it is refused or nobody answers.
 */
typedef void row_fn(void *arg, enum msg_type type, union msg_any *msg);
int client_ask(struct chan_client *c, enum msg_type type, const void *msg, row_fn *on_row,
    void *arg, uint64_t *count, struct why *why) KP_MUST_USE;
int exit_status(const struct why *why);
/* EXPLAIN to a program: its lines go to standard output. The exit status; complains by itself. */
int client_explain(struct kingpost *k, const char *program, const char *what, const char *argument,
    uint64_t *count);

/* relay.c: `kingpost check --relay`; the exit status. */
int check_relay(struct kingpost *k);

/* conf.c: the configuration; NULL where it has faults, which are on standard error then. */
struct config *load_config(struct kingpost *k);

#endif
