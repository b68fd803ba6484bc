/* SPDX-License-Identifier: ISC */
/*
 * Every message that travels between two kingpost programs, declared once: MSG(CONSTANT, struct
 * name). The fields stand in lib/msg/fields.h, grouped by the interface that they belong to.
 * `struct msg_NAME` is what programs fill and read.
 */
#ifndef KP_MSG_MSG_H
#define KP_MSG_MSG_H

#include "lib/msg/fields.h"
#include "lib/wire/wire.h"

/* MSG_ENDS: a reply of this type is the last one to its request (see lib/chan). */
#define MSG_GOES_ON 0
#define MSG_ENDS 1

#define MESSAGES(M)                                                         \
	/* any program: the answer to a request that could not be served */ \
	M(REFUSED, refused, MSG_ENDS)                                       \
	M(DONE, done, MSG_ENDS)                                             \
	/* master to worker */                                              \
	M(HELLO, hello, MSG_GOES_ON)                                        \
	M(SETTING, setting, MSG_GOES_ON)                                    \
	M(LISTENER, listener, MSG_GOES_ON)                                  \
	M(RESOURCE, resource, MSG_GOES_ON)                                  \
	M(PEER, peer, MSG_GOES_ON)                                          \
	M(PEER_RETIRES, peer_retires, MSG_GOES_ON)                          \
	M(START, start, MSG_GOES_ON)                                        \
	M(RELOAD, reload, MSG_GOES_ON)                                      \
	M(STOP, stop, MSG_GOES_ON)                                          \
	/* worker to master */                                              \
	M(READY, ready, MSG_GOES_ON)                                        \
	M(FAILED, failed, MSG_GOES_ON)                                      \
	M(RETIRE, retire, MSG_GOES_ON)                                      \
	M(CONNECT, connect, MSG_GOES_ON)                                    \
	M(CONNECTED, connected, MSG_ENDS)                                   \
	M(OPEN, open, MSG_GOES_ON)                                          \
	M(OPENED, opened, MSG_ENDS)                                         \
	/* any program to logger */                                         \
	M(LOG, log, MSG_GOES_ON)                                            \
	/* smtpd, pickup, local, bounce to cleanup: one message in */       \
	M(MAIL_OPEN, mail_open, MSG_GOES_ON)                                \
	M(MAIL_RCPT, mail_rcpt, MSG_GOES_ON)                                \
	M(MAIL_DATA, mail_data, MSG_GOES_ON)                                \
	M(MAIL_EDIT, mail_edit, MSG_GOES_ON)                                \
	M(MAIL_LOOK, mail_look, MSG_GOES_ON)                                \
	M(MAIL_SHOWN, mail_shown, MSG_GOES_ON)                              \
	M(MAIL_REPLACE, mail_replace, MSG_GOES_ON)                          \
	M(MAIL_COMMIT, mail_commit, MSG_GOES_ON)                            \
	M(MAIL_ABORT, mail_abort, MSG_GOES_ON)                              \
	M(MAIL_QUEUED, mail_queued, MSG_ENDS)                               \
	/* cleanup and qmgr */                                              \
	M(QUEUED, queued, MSG_GOES_ON)                                      \
	M(SEGMENT_FREE, segment_free, MSG_GOES_ON)                          \
	M(CHILD_FIND, child_find, MSG_GOES_ON)                              \
	/* router */                                                        \
	M(RESOLVE, resolve, MSG_GOES_ON)                                    \
	M(ROUTE, route, MSG_ENDS)                                           \
	M(EXPAND, expand, MSG_GOES_ON)                                      \
	M(EXPANDED, expanded, MSG_GOES_ON)                                  \
	M(LOOKUP, lookup, MSG_GOES_ON)                                      \
	M(FOUND, found, MSG_ENDS)                                           \
	M(ACCESS, access, MSG_GOES_ON)                                      \
	M(MAILBOX, mailbox, MSG_GOES_ON)                                    \
	M(MAILBOX_IS, mailbox_is, MSG_ENDS)                                 \
	M(EXPLAIN, explain, MSG_GOES_ON)                                    \
	M(GENERATION, generation, MSG_GOES_ON)                              \
	/* resolver */                                                      \
	M(DNS_QUERY, dns_query, MSG_GOES_ON)                                \
	M(DNS_RECORD, dns_record, MSG_GOES_ON)                              \
	M(DNS_ANSWER, dns_answer, MSG_ENDS)                                 \
	/* keeper */                                                        \
	M(IDENTITY_GET, identity_get, MSG_GOES_ON)                          \
	M(IDENTITY, identity, MSG_GOES_ON)                                  \
	M(IDENTITIES_CHANGED, identities_changed, MSG_GOES_ON)              \
	M(AUTHORITIES_GET, authorities_get, MSG_GOES_ON)                    \
	M(AUTHORITIES, authorities, MSG_GOES_ON)                            \
	M(SIGN, sign, MSG_GOES_ON)                                          \
	M(SIGNATURE, signature, MSG_ENDS)                                   \
	M(TICKET_KEYS, ticket_keys, MSG_GOES_ON)                            \
	M(AUTH_OFFERED, auth_offered, MSG_GOES_ON)                          \
	M(AUTH_START, auth_start, MSG_GOES_ON)                              \
	M(AUTH_CHALLENGE, auth_challenge, MSG_GOES_ON)                      \
	M(AUTH_RESPONSE, auth_response, MSG_GOES_ON)                        \
	M(AUTH_CANCEL, auth_cancel, MSG_GOES_ON)                            \
	M(AUTH_OK, auth_ok, MSG_ENDS)                                       \
	M(AUTH_FAILED, auth_failed, MSG_ENDS)                               \
	/* kingpost to keeper; keeper to spawn */                           \
	M(USER_ACT, user_act, MSG_GOES_ON)                                  \
	M(USER_LIST, user_list, MSG_GOES_ON)                                \
	M(USER_ROW, user_row, MSG_GOES_ON)                                  \
	M(SPAWN_CHECKPASSWORD, spawn_checkpassword, MSG_GOES_ON)            \
	/* limiter */                                                       \
	M(TALLY, tally, MSG_GOES_ON)                                        \
	M(TALLY_RELEASE, tally_release, MSG_GOES_ON)                        \
	M(TALLIED, tallied, MSG_ENDS)                                       \
	M(BLOCK_FIND, block_find, MSG_GOES_ON)                              \
	M(BLOCK_IS, block_is, MSG_ENDS)                                     \
	M(BLOCK_SET, block_set, MSG_GOES_ON)                                \
	M(AUTH_RESULT, auth_result, MSG_GOES_ON)                            \
	M(GREY, grey, MSG_GOES_ON)                                          \
	M(GREY_IS, grey_is, MSG_ENDS)                                       \
	M(REMEMBER, remember, MSG_GOES_ON)                                  \
	M(RECALL, recall, MSG_GOES_ON)                                      \
	M(RECALLED, recalled, MSG_ENDS)                                     \
	M(USAGE, usage, MSG_GOES_ON)                                        \
	M(USAGE_IS, usage_is, MSG_ENDS)                                     \
	M(USAGE_FAILED, usage_failed, MSG_GOES_ON)                          \
	M(ACCOUNT_NOTICE, account_notice, MSG_GOES_ON)                      \
	M(VERIFY, verify, MSG_GOES_ON)                                      \
	M(PROBE, probe, MSG_GOES_ON)                                        \
	M(VERIFIED, verified, MSG_ENDS)                                     \
	M(PROBE_RESULT, probe_result, MSG_GOES_ON)                          \
	/* qmgr and who delivers: remote, local, bounce, spawn's agent */   \
	M(DELIVER, deliver, MSG_GOES_ON)                                    \
	M(DELIVER_RCPT, deliver_rcpt, MSG_GOES_ON)                          \
	M(DELIVER_DATA, deliver_data, MSG_GOES_ON)                          \
	M(DELIVER_GO, deliver_go, MSG_GOES_ON)                              \
	M(DELIVER_RESULT, deliver_result, MSG_GOES_ON)                      \
	M(DELIVER_END, deliver_end, MSG_ENDS)                               \
	M(DELIVER_ACK, deliver_ack, MSG_GOES_ON)                            \
	M(REPORT, report, MSG_GOES_ON)                                      \
	M(REPORT_RUNNING, report_running, MSG_GOES_ON)                      \
	M(REPORT_END, report_end, MSG_ENDS)                                 \
	/* qmgr to bounce, beside DELIVER, DELIVER_DATA and DELIVER_GO */   \
	M(BOUNCE_RCPT, bounce_rcpt, MSG_GOES_ON)                            \
	/* local to spawn */                                                \
	M(SPAWN, spawn, MSG_GOES_ON)                                        \
	M(SPAWNED, spawned, MSG_ENDS)                                       \
	M(SPAWN_EXIT, spawn_exit, MSG_GOES_ON)                              \
	/* local to its delivery agent */                                   \
	M(AGENT_ACTION, agent_action, MSG_GOES_ON)                          \
	M(AGENT_FORWARD, agent_forward, MSG_GOES_ON)                        \
	/* sendmail to pickup; pickup to smtpd */                           \
	M(SUBMIT_SMTP, submit_smtp, MSG_GOES_ON)                            \
	M(SESSION, session, MSG_GOES_ON)                                    \
	/* mailq, kingpost to qmgr: the queue socket */                     \
	M(QUEUE_LIST, queue_list, MSG_GOES_ON)                              \
	M(QUEUE_ENTRY, queue_entry, MSG_GOES_ON)                            \
	M(QUEUE_RCPT, queue_rcpt, MSG_GOES_ON)                              \
	M(QUEUE_ACT, queue_act, MSG_GOES_ON)                                \
	M(ETRN, etrn, MSG_GOES_ON)                                          \
	M(QUEUE_CAT, queue_cat, MSG_GOES_ON)                                \
	M(QUEUE_FILE, queue_file, MSG_ENDS)                                 \
	/* kingpost to master: the control socket */                        \
	M(CONTROL, control, MSG_GOES_ON)                                    \
	M(CONTROL_TEXT, control_text, MSG_GOES_ON)                          \
	M(CONTROL_CHANNEL, control_channel, MSG_ENDS)

#define MSG_ENUM(CONSTANT, name, last) MSG_##CONSTANT,
enum msg_type { MSG_NONE, MESSAGES(MSG_ENUM) MSG_COUNT };
#undef MSG_ENUM

#define MSG_STRUCT(CONSTANT, name, last)                                 \
	struct msg_##name {                                              \
		MSG_##CONSTANT##_FIELDS(WIRE_MEMBER) char end_of_fields; \
	};
MESSAGES(MSG_STRUCT)
#undef MSG_STRUCT

/* One of each, for a place that can hold any. */
union msg_any {
#define MSG_MEMBER(CONSTANT, name, last) struct msg_##name name;
	MESSAGES(MSG_MEMBER)
#undef MSG_MEMBER
};

/* The codec's description of a message type; NULL for a number that is none. */
const struct wire_type *msg_wire(unsigned type);

/* Whether a reply of this type ends its request. */
bool msg_ends(unsigned type);

#endif
