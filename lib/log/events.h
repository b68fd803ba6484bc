/* SPDX-License-Identifier: ISC */
/*
 * The events of the log: EVENT(CONSTANT, struct tag, level, text). The text has Postfix's wording;
 * the JSON form has the constant in lower case as "event" and the fields under their names. Fields
 * are declared below it.
 */
#ifndef KP_LOG_EVENTS_H
#define KP_LOG_EVENTS_H

#define EVENTS(E)                                                                                  \
	E(NOTE, note, INFO, "{text}")                                                              \
	E(WARNING, warning, WARNING, "warning: {text}")                                            \
	E(ERROR, error, ERROR, "error: {text}")                                                    \
	E(DEBUG, debug, DEBUG, "{text}")                                                           \
	/* smtpd */                                                                                \
	E(CONNECT, connect, INFO, "connect from {client_name}[{client_addr}]")                     \
	E(DISCONNECT, disconnect, INFO, "disconnect from {client_name}[{client_addr}] {commands}") \
	E(LOST, lost, INFO, "{what} after {command} from {client_name}[{client_addr}]")            \
	E(REJECT, reject, INFO,                                                                    \
	    "{?queue_id:{queue_id}}{!queue_id:NOQUEUE}: {action}: {stage} from "                   \
	    "{client_name}[{client_addr}]: {reply}; from=<{sender}>{?recipient: "                  \
	    "to=<{recipient}>} "                                                                   \
	    "proto={proto}{?helo: helo=<{helo}>}")                                                 \
	E(CLIENT, client, INFO,                                                                    \
	    "{queue_id}: client={client_name}[{client_addr}]"                                      \
	    "{?sasl_method:, sasl_method={sasl_method}}{?sasl_username:, "                         \
	    "sasl_username={sasl_username}}"                                                       \
	    "{?orig_queue_id:, orig_queue_id={orig_queue_id}}{?orig_client:, "                     \
	    "orig_client={orig_client}}")                                                          \
	E(TLS, tls, INFO,                                                                          \
	    "{trust} TLS connection established from {client_name}[{client_addr}]: {text}")        \
	E(TLS_FAILED, tls_failed, INFO,                                                            \
	    "SSL_accept error from {client_name}[{client_addr}]: {text}")                          \
	/* pickup */                                                                               \
	E(PICKUP, pickup, INFO, "{queue_id}: uid={uid} from=<{sender}>{?origin: {origin}}")        \
	/* cleanup */                                                                              \
	E(MESSAGE_ID, message_id, INFO, "{queue_id}: message-id={message_id}")                     \
	/* qmgr */                                                                                 \
	E(ACTIVE, active, INFO,                                                                    \
	    "{queue_id}: from=<{sender}>, size={size}, nrcpt={nrcpt} (queue active)")              \
	E(REMOVED, removed, INFO, "{queue_id}: removed")                                           \
	E(EXPIRED, expired, INFO,                                                                  \
	    "{queue_id}: from=<{sender}>, status={status}, returned to sender")                    \
	E(QUEUE_ACTION, queue_action, INFO,                                                        \
	    "{queue_id}: {action}{?who: by {who}}{?reason:: {reason}}")                            \
	/* who delivers */                                                                         \
	E(DELIVERY, delivery, INFO,                                                                \
	    "{queue_id}: to=<{to}>{?orig_to:, orig_to=<{orig_to}>}, relay={relay}, "               \
	    "delay={delay}, "                                                                      \
	    "delays={delays}, dsn={dsn}, status={status} ({text})")                                \
	E(TRY_FAILED, try_failed, INFO, "{queue_id}: {text}")                                      \
	E(PEER_FAILED, peer_failed, INFO, "connect to {host}[{addr}]:{port}: {text}")              \
	/* bounce */                                                                               \
	E(NOTIFICATION, notification, INFO, "{queue_id}: {kind}: {dsn_id}")                        \
	/* master */                                                                               \
	E(STARTED, started, INFO,                                                                  \
	    "daemon started -- version {version}, configuration {configuration}")                  \
	E(CHILD_DIED, child_died, WARNING, "warning: process {program} pid {pid} {how}")           \
	E(STOPPED, stopped, INFO, "terminating on signal {signal}")                                \
	/* any */                                                                                  \
	E(CHANNEL, channel, WARNING, "warning: channel {peer}: {text}")

#define EV_NOTE_FIELDS(F) F(STR, text, 4096)
#define EV_WARNING_FIELDS(F) F(STR, text, 4096)
#define EV_ERROR_FIELDS(F) F(STR, text, 4096)
#define EV_DEBUG_FIELDS(F) F(STR, text, 4096)
#define EV_CONNECT_FIELDS(F) F(STR, client_name, 256) F(STR, client_addr, 64) F(U64, client_port, 0)
#define EV_DISCONNECT_FIELDS(F) \
	F(STR, client_name, 256) F(STR, client_addr, 64) F(STR, commands, 512)
#define EV_LOST_FIELDS(F) \
	F(STR, what, 64) F(STR, command, 64) F(STR, client_name, 256) F(STR, client_addr, 64)
#define EV_REJECT_FIELDS(F)      \
	F(STR, queue_id, 32)     \
	F(STR, action, 32)       \
	F(STR, stage, 32)        \
	F(STR, client_name, 256) \
	F(STR, client_addr, 64)  \
	F(STR, reply, 1024)      \
	F(STR, sender, 512)      \
	F(STR, recipient, 512)   \
	F(STR, proto, 16)        \
	F(STR, helo, 256)
#define EV_CLIENT_FIELDS(F)      \
	F(STR, queue_id, 32)     \
	F(STR, client_name, 256) \
	F(STR, client_addr, 64)  \
	F(STR, sasl_method, 64)  \
	F(STR, sasl_username, 256) F(STR, orig_queue_id, 64) F(STR, orig_client, 512)
#define EV_TLS_FIELDS(F)         \
	F(STR, trust, 16)        \
	F(STR, client_name, 256) \
	F(STR, client_addr, 64)  \
	F(STR, text, 400)        \
	F(U64, resumed, 1)       \
	F(STR, subject, 256)     \
	F(STR, fingerprint, 256)
#define EV_TLS_FAILED_FIELDS(F) F(STR, client_name, 256) F(STR, client_addr, 64) F(STR, text, 512)
#define EV_PICKUP_FIELDS(F) \
	F(STR, queue_id, 32) F(U64, uid, 0) F(STR, sender, 512) F(STR, origin, 4096)
#define EV_MESSAGE_ID_FIELDS(F) F(STR, queue_id, 32) F(STR, message_id, 1024)
#define EV_ACTIVE_FIELDS(F) \
	F(STR, queue_id, 32) F(STR, sender, 512) F(U64, size, 0) F(U64, nrcpt, 0)
#define EV_REMOVED_FIELDS(F) F(STR, queue_id, 32)
#define EV_EXPIRED_FIELDS(F) F(STR, queue_id, 32) F(STR, sender, 512) F(STR, status, 16)
#define EV_QUEUE_ACTION_FIELDS(F) \
	F(STR, queue_id, 32) F(STR, action, 32) F(STR, who, 64) F(STR, reason, 1024)
#define EV_DELIVERY_FIELDS(F) \
	F(STR, queue_id, 32)  \
	F(STR, to, 512)       \
	F(STR, orig_to, 512)  \
	F(STR, relay, 512)    \
	F(STR, delay, 32)     \
	F(STR, delays, 64)    \
	F(STR, dsn, 16)       \
	F(STR, status, 16)    \
	F(STR, text, 1200)
#define EV_TRY_FAILED_FIELDS(F) F(STR, queue_id, 32) F(STR, text, 1200)
#define EV_PEER_FAILED_FIELDS(F) \
	F(STR, host, 256) F(STR, addr, 64) F(U64, port, 0) F(STR, text, 1200)
#define EV_NOTIFICATION_FIELDS(F) F(STR, queue_id, 32) F(STR, kind, 64) F(STR, dsn_id, 32)
#define EV_STARTED_FIELDS(F) F(STR, version, 64) F(STR, configuration, 4096)
#define EV_CHILD_DIED_FIELDS(F) F(STR, program, 64) F(U64, pid, 0) F(STR, how, 128)
#define EV_STOPPED_FIELDS(F) F(U64, signal, 0)
#define EV_CHANNEL_FIELDS(F) F(STR, peer, 128) F(STR, text, 1024)

#endif
