/* SPDX-License-Identifier: ISC */
/*
 * The fields of every message between kingpost programs. Text has a bound, a number may have one, a
 * descriptor none. Bounds are of what the receiver accepts; a sender that has more refuses the mail
 * before.
 */
#ifndef KP_MSG_FIELDS_H
#define KP_MSG_FIELDS_H

enum {
	MSG_ADDRESS_MAX = 512,     /* RFC 5321 4.5.3.1: 64 + 1 + 255, with room for quoting */
	MSG_NAME_MAX = 256,        /* host and domain names, helo */
	MSG_NEXTHOP_MAX = 1024,    /* the part of a transport after its name */
	MSG_CODE_MAX = 11,         /* enhanced status code */
	MSG_TEXT_MAX = 1000,       /* a reply or reason, one line */
	MSG_CHUNK_MAX = 32 * 1024, /* content in one message */
	MSG_VALUE_MAX = 32 * 1024, /* a setting's value, a table's answer */
	MSG_ID_MAX = 32,           /* queue id */
	MSG_LINE_MAX = 16 * 1024,  /* a line that access tables are asked for */
};

/* A request that failed: see struct why. `smtp` may be 0. */
#define MSG_REFUSED_FIELDS(F) \
	F(U64, class, 2) F(U64, smtp, 599) F(STR, code, MSG_CODE_MAX) F(STR, text, MSG_TEXT_MAX)
#define MSG_DONE_FIELDS(F) F(U64, count, 0)

/* --- master and its workers --- */

/*
 * Who the worker is. `root` is the instance's directory, "" for a system installation;
 * `privileged`: started as root; `slot`: its place in the metrics; `user`: what the section says
 * instead of the program's own, "" mostly; `empty`: for chroot.
 */
#define MSG_HELLO_FIELDS(F)   \
	F(STR, service, 64)   \
	F(U64, worker, 0)     \
	F(U64, generation, 0) \
	F(U64, privileged, 1) \
	F(U64, slot, 0)       \
	F(STR, user, 64)      \
	F(STR, empty, 4096)   \
	F(STR, root, 4096)
#define MSG_SETTING_FIELDS(F) F(STR, name, 128) F(STR, value, MSG_VALUE_MAX)
#define MSG_LISTENER_FIELDS(F) F(STR, address, 512) F(FD, socket, 0)
/* An open file that master hands over by name ("metrics", "queue", ...). */
#define MSG_RESOURCE_FIELDS(F) F(STR, name, 64) F(FD, file, 0)
/* A channel to another worker. `program` is an enum program (lib/service), `id` is unique over the
 * instance's life. */
#define MSG_PEER_FIELDS(F)  \
	F(U64, program, 63) \
	F(STR, service, 64) F(U64, id, 0) F(U64, worker, 0) F(U64, pid, 0) F(FD, channel, 0)
#define MSG_START_FIELDS(F)
#define MSG_RELOAD_FIELDS(F) F(U64, generation, 0)
/* Finish what is in flight within `grace_ms`, take nothing new, exit. `drain`: a successor serves
 * already; sessions may go on. */
#define MSG_STOP_FIELDS(F) F(U64, grace_ms, 0) F(U64, drain, 1)
/* The partner with this PEER.id is about to be replaced: no new requests to it. */
#define MSG_PEER_RETIRES_FIELDS(F) F(U64, id, 0)
#define MSG_READY_FIELDS(F)
#define MSG_FAILED_FIELDS(F) F(STR, text, MSG_TEXT_MAX)
/* The worker has served max_requests: a successor, please; it drains and exits by itself when told
 * to stop. */
#define MSG_RETIRE_FIELDS(F)
/* Connect to a configured path or address for the worker (chrooted ones cannot); answered by
 * CONNECTED or REFUSED. */
#define MSG_CONNECT_FIELDS(F) F(STR, target, 1024)
#define MSG_CONNECTED_FIELDS(F) F(FD, socket, 0)

/* One event for the log: its number (lib/log/events.h), when it was (microseconds since 1970), its
 * encoded fields. */
#define MSG_LOG_FIELDS(F) F(U64, event, 0) F(U64, when, 0) F(STR, record, 16384)

/* --- one message in: MAIL_OPEN, MAIL_RCPT..., MAIL_DATA..., MAIL_COMMIT under one request id ---
 */

/*
 * `flags`: MAIL_* below. `origin`: what a local submission was made by (command line and
 * directory). `parent` names the message, recipient and leaf that a child of local's expansion
 * comes from, "" for others. `content` is a pipe for what is larger than journal_message_limit, -1
 * where MAIL_DATA carries it. `size` is a hint.
 */
#define MSG_MAIL_OPEN_FIELDS(F)           \
	F(STR, sender, MSG_ADDRESS_MAX)   \
	F(U64, flags, 0)                  \
	F(U64, size, 0)                   \
	F(STR, service, 64)               \
	F(STR, client_name, MSG_NAME_MAX) \
	F(STR, client_addr, 64)           \
	F(U64, client_port, 65535)        \
	F(STR, helo, MSG_NAME_MAX)        \
	F(STR, proto, 16)                 \
	F(STR, tls, 1024)                 \
	F(STR, login, 256)                \
	F(U64, uid, 0)                    \
	F(STR, origin, 4096)              \
	F(STR, full_name, 256)            \
	F(STR, envid, 512)                \
	F(U64, ret, 2)                    \
	F(STR, parent, 1024)              \
	F(STR, hold, MSG_TEXT_MAX)        \
	F(FD, content, 0)

enum mail_flag {
	MAIL_8BITMIME = 1 << 0,   /* BODY=8BITMIME was said */
	MAIL_SMTPUTF8 = 1 << 1,   /* SMTPUTF8 was said */
	MAIL_REQUIRETLS = 1 << 2, /* REQUIRETLS was said */
	MAIL_LOCAL = 1 << 3, /* submitted on this machine: add missing headers, remove Bcc; uid and
				origin are set */
	MAIL_RESUBMIT = 1 << 4,     /* a child message or a DSN: no trace header of a client */
	MAIL_NOTIFICATION = 1 << 5, /* a DSN made by bounce */
	MAIL_ADD_HEADERS = 1 << 7,  /* add missing headers, as for a submission */
	MAIL_SHOW_LOGIN = 1 << 8,   /* the Received header names the login */
	MAIL_NO_CHECKS = 1 << 9,    /* no header and body checks */
	MAIL_NO_MAPPINGS = 1 << 10, /* no virtual aliases and no copies (always_bcc and the like) */
	MAIL_PROBE =
	    1 << 11, /* an address probe: no content is ever given, limiter hears the result */
};

enum { RET_NONE, RET_FULL, RET_HDRS }; /* MAIL_OPEN.ret, RFC 3461 4.3 */

/* NOTIFY of RFC 3461 4.1; 0 is the default (failure, and delay as the configuration says). */
enum {
	NOTIFY_DEFAULT = 0,
	NOTIFY_NEVER = 1,
	NOTIFY_SUCCESS = 2,
	NOTIFY_FAILURE = 4,
	NOTIFY_DELAY = 8
};

/*
 * `original` is the address before any expansion, "" where it is the same; `orcpt` is the value of
 * ORCPT as it came (xtext). The route is router's answer, with `generation` 0 where nobody has
 * asked router yet.
 */
#define MSG_MAIL_RCPT_FIELDS(F)           \
	F(STR, address, MSG_ADDRESS_MAX)  \
	F(STR, original, MSG_ADDRESS_MAX) \
	F(STR, orcpt, MSG_ADDRESS_MAX)    \
	F(U64, notify, 15)                \
	F(U64, class, 15)                 \
	F(U64, expand, 1)                 \
	F(STR, transport, 64)             \
	F(STR, nexthop, MSG_NEXTHOP_MAX)  \
	F(U64, generation, 0)
#define MSG_MAIL_DATA_FIELDS(F) F(STR, bytes, MSG_CHUNK_MAX)
/*
 * A change to the message, between MAIL_RCPT and MAIL_COMMIT, done in this order at the commit.
 * `name` is an address or a transport, `value` a header line or a reason, as `kind` says. Content
 * is changed by who sends it.
 */
#define MSG_MAIL_EDIT_FIELDS(F) \
	F(U64, kind, 15) F(STR, name, MSG_NEXTHOP_MAX) F(STR, value, MSG_CHUNK_MAX)

enum mail_edit {
	EDIT_NONE,
	EDIT_PREPEND,  /* the whole header line `value` before all others (its lines apart by LF) */
	EDIT_SENDER,   /* the envelope sender is `name` */
	EDIT_ADD_RCPT, /* one more recipient, `name` */
	EDIT_DELETE_RCPT, /* none of `name`, nor of what it was expanded to */
	EDIT_REDIRECT,    /* all recipients become `name` */
	EDIT_BCC,         /* one more recipient, without any DSN */
	EDIT_FILTER,      /* all recipients go by `name` (transport:nexthop) first */
	EDIT_HOLD,        /* into the hold queue; `value` is the reason */
	EDIT_DISCARD,     /* accepted and thrown away; `value` is the reason */
	EDIT_KINDS,
};

/*
 * "Show it to me, before MAIL_COMMIT": `size` octets of content have been sent, and `kept` says
 * that whoever sent them still has them. The answer is MAIL_SHOWN, or REFUSED by what checks say.
 */
#define MSG_MAIL_LOOK_FIELDS(F) F(U64, size, 0) F(U64, kept, 1)
/*
 * The message as it will be delivered, without our own trace field. `same`: it is what was sent,
 * and still there. Otherwise it stands in `content`, a file to be read, from `offset` on; or,
 * without a file, has come by MAIL_DATA before this. `header`: the octets of it before the empty
 * line. `discard`: it will be thrown away, nobody needs to look.
 */
#define MSG_MAIL_SHOWN_FIELDS(F)     \
	F(STR, queue_id, MSG_ID_MAX) \
	F(U64, same, 1)              \
	F(U64, discard, 1)           \
	F(U64, offset, 0)            \
	F(U64, size, 0)              \
	F(U64, header, 0)            \
	F(FD, content, 0)
/*
 * After MAIL_SHOWN: what comes now, by MAIL_DATA or the pipe `content`, takes the place of the
 * header (its first `header` octets, the empty line not included), and where `body` says so the
 * rest of it that of the body. MAIL_COMMIT then counts these octets.
 */
#define MSG_MAIL_REPLACE_FIELDS(F) F(U64, header, 0) F(U64, body, 1) F(FD, content, 0)
#define MSG_MAIL_COMMIT_FIELDS(F) F(U64, size, 0)
#define MSG_MAIL_ABORT_FIELDS(F)
#define MSG_MAIL_QUEUED_FIELDS(F) F(STR, queue_id, MSG_ID_MAX)

/* --- cleanup and qmgr --- */

/* A durable message: an extent of journal segment `segment` (of `seal`, its generation), or a file
 * of its own (segment 0). */
#define MSG_QUEUED_FIELDS(F)         \
	F(STR, queue_id, MSG_ID_MAX) \
	F(U64, segment, 0) F(U64, seal, 0) F(U64, offset, 0) F(U64, length, 0)
/* All in the segment (as of `seal`) is done or moved: it may be written again. */
#define MSG_SEGMENT_FREE_FIELDS(F) F(U64, segment, 0) F(U64, seal, 0)
/* cleanup asks before it commits a child message: is there one under this parent key ("ID index
 * leaf") already? MAIL_QUEUED with its id, or DONE. */
#define MSG_CHILD_FIND_FIELDS(F) F(STR, parent, 1024)

/* --- router --- */

/* Where does mail to `address` go, and is it valid? Answer: ROUTE, or REFUSED when that cannot be
 * told now. */
#define MSG_RESOLVE_FIELDS(F) \
	F(STR, address, MSG_ADDRESS_MAX) F(STR, sender, MSG_ADDRESS_MAX) F(U64, flags, 0)
/*
 * `verdict`: enum route_verdict. `expand`: virtual aliases apply, ask EXPAND. `address`: with
 * myorigin appended and the domain in lower case. `ttl_ms`: how long the answer may be kept while
 * `generation` holds, 0: not at all.
 */
#define MSG_ROUTE_FIELDS(F)              \
	F(U64, verdict, 7)               \
	F(U64, class, 15)                \
	F(U64, expand, 1)                \
	F(STR, address, MSG_ADDRESS_MAX) \
	F(STR, transport, 64)            \
	F(STR, nexthop, MSG_NEXTHOP_MAX) \
	F(U64, generation, 0)            \
	F(U64, ttl_ms, 0)                \
	F(STR, code, MSG_CODE_MAX)       \
	F(STR, text, MSG_TEXT_MAX)

enum route_verdict {
	ROUTE_OK,
	ROUTE_UNKNOWN, /* no such recipient: code and text say so; the route leads to the error
			  transport */
};

enum address_class {
	CLASS_NONE,
	CLASS_LOCAL,   /* mydestination, proxy and own address literals */
	CLASS_ALIAS,   /* virtual_alias_domains */
	CLASS_VIRTUAL, /* virtual_mailbox_domains */
	CLASS_RELAY,   /* relay_domains */
	CLASS_REMOTE,  /* all others */
};

/* All addresses that a virtual alias stands for, in the end: EXPANDED for each, then DONE; or
 * REFUSED. */
#define MSG_EXPAND_FIELDS(F) F(STR, address, MSG_ADDRESS_MAX)
#define MSG_EXPANDED_FIELDS(F)           \
	F(STR, address, MSG_ADDRESS_MAX) \
	F(U64, class, 15)                \
	F(STR, transport, 64)            \
	F(STR, nexthop, MSG_NEXTHOP_MAX) \
	F(U64, generation, 0)

/* What the table setting `maps` (such as "alias_maps") says of `key`; to tables: passwd.byname, or
 * a table as it is written. `found` 1 or 0; not being able to tell is REFUSED. */
#define MSG_LOOKUP_FIELDS(F) F(STR, maps, 1024) F(STR, key, MSG_ADDRESS_MAX)
#define MSG_FOUND_FIELDS(F) \
	F(U64, found, 1) F(STR, value, MSG_VALUE_MAX) F(STR, table, 1024) F(STR, owner, 64)

/*
 * What the table `map` (as written in a restriction list: "cidr:/path") says of a client, name,
 * address or line; router walks the keys as access(5) tells for `kind`. Answer: FOUND.
 */
#define MSG_ACCESS_FIELDS(F) F(STR, map, 1024) F(U64, kind, 7) F(STR, key, MSG_LINE_MAX)

enum access_kind {
	ACCESS_EXACT,  /* the key as it is */
	ACCESS_CLIENT, /* a host name, or "name address": name, parent domains, address, networks */
	ACCESS_DOMAIN, /* a domain and its parents */
	ACCESS_ADDRESS, /* user+ext@domain, user@domain, domain, parents, user@ */
	ACCESS_LINE,    /* one line of a header or body, for tables of patterns */
	ACCESS_OWNER,   /* an address, as smtpd_sender_login_maps has them: user+ext@domain,
			   user@domain, user where the domain is ours, @domain */
};

/* The account behind a local user's name or a virtual mailbox's address. `kind` 0: Unix user; 1:
 * virtual mailbox. */
#define MSG_MAILBOX_FIELDS(F) F(STR, name, MSG_ADDRESS_MAX) F(U64, kind, 1)
#define MSG_MAILBOX_IS_FIELDS(F) \
	F(U64, found, 1)         \
	F(STR, user, 64)         \
	F(U64, uid, 0)           \
	F(U64, gid, 0)           \
	F(STR, home, 4096)       \
	F(STR, shell, 4096)      \
	F(STR, path, 4096)

/* `kingpost address test`, `kingpost map query` and the like: CONTROL_TEXT lines, then DONE. */
#define MSG_EXPLAIN_FIELDS(F) F(STR, what, 64) F(STR, argument, 4096)
/* router to all its partners: tables have changed, answers of older generations are stale. */
#define MSG_GENERATION_FIELDS(F) F(U64, generation, 0)

/* --- resolver --- */

#define MSG_DNS_QUERY_FIELDS(F) F(STR, name, MSG_NAME_MAX) F(U64, type, 65535)
/* A, AAAA: `data` is the address's 4 or 16 bytes. MX, PTR, CNAME: the name, without a final dot.
 * TXT: the joined strings. TLSA: usage, selector, type, data. */
#define MSG_DNS_RECORD_FIELDS(F) F(U64, type, 65535) F(U64, preference, 65535) F(STR, data, 16384)
/* `status`: enum dns_status. `secure`: validated by DNSSEC. `name`: after CNAMEs. `ttl` in seconds.
 */
#define MSG_DNS_ANSWER_FIELDS(F) \
	F(U64, status, 7)        \
	F(U64, secure, 1) F(STR, name, MSG_NAME_MAX) F(U64, ttl, 0) F(STR, text, MSG_TEXT_MAX)

enum dns_status {
	DNS_OK,
	DNS_NODATA,   /* the name exists, without such records */
	DNS_NXDOMAIN, /* no such name */
	DNS_FAILED,   /* could not tell; `text` says why. A bogus signature is this, too */
};

/* --- a delivery: DELIVER, DELIVER_RCPT..., DELIVER_DATA..., DELIVER_GO under one request id --- */

/*
 * `content`: for what is larger than the journal's limit the open file, whose content starts at
 * `offset`; else -1 and DELIVER_DATA follows. `size`, `header_size`, `longest_line` and `facts` are
 * of the content as it will be sent. Times in microseconds since 1970. `attempt` counts from 1.
 */
#define MSG_DELIVER_FIELDS(F)             \
	F(STR, queue_id, MSG_ID_MAX)      \
	F(STR, sender, MSG_ADDRESS_MAX)   \
	F(STR, transport, 64)             \
	F(STR, nexthop, MSG_NEXTHOP_MAX)  \
	F(U64, flags, 0)                  \
	F(U64, facts, 0)                  \
	F(U64, size, 0)                   \
	F(U64, offset, 0)                 \
	F(U64, header_size, 0)            \
	F(U64, longest_line, 0)           \
	F(U64, arrived, 0)                \
	F(U64, active, 0)                 \
	F(U64, attempt, 0)                \
	F(STR, envid, 512)                \
	F(U64, ret, 2)                    \
	F(U64, recipients, 0)             \
	F(STR, client_addr, 64)           \
	F(U64, client_port, 65535)        \
	F(STR, client_name, MSG_NAME_MAX) \
	F(STR, helo, MSG_NAME_MAX)        \
	F(STR, proto, 16)                 \
	F(STR, login, 256)                \
	F(FD, content, 0)

enum content_fact {
	FACT_DOT_LINE = 1 << 0,    /* some line starts with a dot */
	FACT_8BIT = 1 << 1,        /* some byte is over 127 */
	FACT_8BIT_HEADER = 1 << 2, /* ... in the header: needs SMTPUTF8 */
	FACT_NUL = 1 << 3,
	FACT_NO_EOL = 1 << 4, /* the last line had no line end (one has been added) */
};

/* `index`: the recipient's place in the message's envelope, for ever. */
#define MSG_DELIVER_RCPT_FIELDS(F)        \
	F(U64, index, 0)                  \
	F(STR, address, MSG_ADDRESS_MAX)  \
	F(STR, original, MSG_ADDRESS_MAX) \
	F(STR, orcpt, MSG_ADDRESS_MAX)    \
	F(U64, notify, 15)                \
	F(U64, class, 15)
#define MSG_DELIVER_DATA_FIELDS(F) F(STR, bytes, MSG_CHUNK_MAX)
#define MSG_DELIVER_GO_FIELDS(F)

/*
 * What became of one recipient. Kept by the sender until DELIVER_ACK for the queue id. `relay` as
 * logged
 * ("host[ip]:port"), `mta` the name for Remote-MTA, `text` the peer's reply or our reason.
 */
#define MSG_DELIVER_RESULT_FIELDS(F) \
	F(STR, queue_id, MSG_ID_MAX) \
	F(U64, index, 0)             \
	F(U64, status, 7)            \
	F(U64, smtp, 599)            \
	F(STR, code, MSG_CODE_MAX)   \
	F(STR, text, MSG_TEXT_MAX)   \
	F(STR, relay, 512)           \
	F(STR, mta, MSG_NAME_MAX)

enum delivery_status {
	DELIVERY_NONE,     /* not tried: aborted, the session was lost before the final dot */
	DELIVERY_SENT,     /* in a mailbox, or at an MTA that takes over the DSN */
	DELIVERY_RELAYED,  /* at an MTA without DSN: a success notice is ours to write */
	DELIVERY_EXPANDED, /* replaced by a child message */
	DELIVERY_DEFERRED,
	DELIVERY_BOUNCED,
};

/* The delivery is over. `reached`: 1 where the destination spoke to us at all, so that a dead one
 * is told from a picky one. */
#define MSG_DELIVER_END_FIELDS(F)    \
	F(STR, queue_id, MSG_ID_MAX) \
	F(U64, reached, 1) F(STR, code, MSG_CODE_MAX) F(STR, text, MSG_TEXT_MAX)
#define MSG_DELIVER_ACK_FIELDS(F) F(STR, queue_id, MSG_ID_MAX)
/* qmgr on a new channel: what are you doing? REPORT_RUNNING and DELIVER_RESULT rows, then
 * REPORT_END. */
#define MSG_REPORT_FIELDS(F)
#define MSG_REPORT_RUNNING_FIELDS(F) F(STR, queue_id, MSG_ID_MAX) F(U64, index, 0)
#define MSG_REPORT_END_FIELDS(F)

/* qmgr to bounce: one recipient of the notification. `action`: enum dsn_action. */
#define MSG_BOUNCE_RCPT_FIELDS(F)         \
	F(U64, index, 0)                  \
	F(STR, address, MSG_ADDRESS_MAX)  \
	F(STR, original, MSG_ADDRESS_MAX) \
	F(STR, orcpt, MSG_ADDRESS_MAX)    \
	F(U64, notify, 15)                \
	F(U64, action, 7)                 \
	F(U64, smtp, 599)                 \
	F(STR, code, MSG_CODE_MAX)        \
	F(STR, text, MSG_TEXT_MAX)        \
	F(STR, mta, MSG_NAME_MAX)         \
	F(U64, tried, 0)                  \
	F(U64, until, 0)

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

/* --- local, spawn and the delivery agent --- */

/* Start a delivery agent as `user` (or as uid:gid where user is "": virtual mailboxes). `channel`
 * becomes its descriptor 3. */
/* `mailbox` 1: the user's mailbox in mail_spool_directory is made where it is missing. */
#define MSG_SPAWN_FIELDS(F) \
	F(STR, user, 64) F(U64, uid, 0) F(U64, gid, 0) F(U64, mailbox, 1) F(FD, channel, 0)
#define MSG_SPAWNED_FIELDS(F) F(U64, pid, 0)
#define MSG_SPAWN_EXIT_FIELDS(F) F(U64, pid, 0) F(U64, status, 0)

/*
 * What the agent is to do, with the content of the DELIVER under the same request id, or without
 * one (AGENT_READ). `target`: the paths to read, apart by newlines; a Maildir; a file; a command.
 * `home`: where a command runs. `headers`: whole lines, ended by LF, that come before the content.
 * `environment`: NAME=value, each ended by NUL. Answer: AGENT_FORWARD rows, DELIVER_RESULT,
 * DELIVER_END.
 */
#define MSG_AGENT_ACTION_FIELDS(F) \
	F(U64, kind, 15)           \
	F(U64, flags, 0)           \
	F(U64, timeout_ms, 0)      \
	F(STR, target, 4096)       \
	F(STR, home, 4096)         \
	F(STR, headers, 4096)      \
	F(STR, environment, 16384)
/* A target of a .forward or :include: file: enum target_kind of lib/table, and its text. */
#define MSG_AGENT_FORWARD_FIELDS(F) F(U64, kind, 7) F(STR, text, 4096)

enum agent_kind { AGENT_NONE, AGENT_READ, AGENT_MAILDIR, AGENT_FILE, AGENT_COMMAND, AGENT_KINDS };

enum agent_flag {
	AGENT_OPTIONAL =
	    1 << 0, /* READ: no such file, or one that is not safe, is the same as none */
	AGENT_OWN =
	    1 << 1, /* FILE: must belong to the user; MAILDIR: missing folders above it are made */
};

/* --- keeper: private keys --- */

/*
 * The certificates in `files`: paths apart by commas, each of a PEM file with a key, its
 * certificate and the chain behind it (as smtpd_tls_chain_files has them), or of a certificate file
 * behind its key file. Answer: an IDENTITY for each key, then DONE; or REFUSED.
 */
#define MSG_IDENTITY_GET_FIELDS(F) F(STR, files, 4096)
/* `key`: the number that SIGN takes. `chain`: the certificates as PEM, the leaf first. */
#define MSG_IDENTITY_FIELDS(F) F(U64, key, 0) F(STR, chain, MSG_VALUE_MAX)
/* keeper to all its partners: files have changed, ask for identities anew. Old key numbers still
 * sign for a while. */
#define MSG_IDENTITIES_CHANGED_FIELDS(F)
/* The certificates in `file`, those of clients' authorities. Answer: AUTHORITIES rows, PEM text in
 * pieces, then DONE; or REFUSED. IDENTITIES_CHANGED tells of changes to them, too. */
#define MSG_AUTHORITIES_GET_FIELDS(F) F(STR, file, 4096)
#define MSG_AUTHORITIES_FIELDS(F) F(STR, bytes, MSG_VALUE_MAX)
/* What OpenSSL would have the private key do with `input`. */
#define MSG_SIGN_FIELDS(F) F(U64, key, 0) F(U64, scheme, 7) F(STR, input, 2048)
#define MSG_SIGNATURE_FIELDS(F) F(STR, signature, 2048)

enum sign_scheme {
	SIGN_RSA_PKCS1, /* a DigestInfo, to be padded and signed (RSA_PKCS1_PADDING) */
	SIGN_RSA_RAW,   /* padded already (RSA_NO_PADDING): PSS of TLS 1.3 */
	SIGN_ECDSA,     /* a digest; the signature in DER */
};

/* keeper to smtpd, at start and at each rotation: keys for session tickets, 80 octets each (name
 * 16, AES 32, HMAC 32), the one to seal with first. */
#define MSG_TICKET_KEYS_FIELDS(F) F(STR, keys, 480)

/* The open file at a path that the configuration names (or a table of it): master opens it for
 * keeper. Answer: OPENED. */
#define MSG_OPEN_FIELDS(F) F(STR, path, 4096)
#define MSG_OPENED_FIELDS(F) F(FD, file, 0)

/* --- keeper: logins. AUTH_START, then AUTH_CHALLENGE and AUTH_RESPONSE in turns, under one id ---
 */

/* keeper to smtpd, on a new channel and whenever it changes: what can be offered to clients.
 * `mechanisms`: words apart by blanks, `plain`: those of them that show the password to the line.
 */
#define MSG_AUTH_OFFERED_FIELDS(F) F(STR, mechanisms, 512) F(STR, plain, 512)
/*
 * Whose accounts are asked is told by the service that the smtpd belongs to, which keeper knows
 * from master. `initial`: `response` is the initial response (which may be empty). `tls`: the
 * session is encrypted. `certificate`: the verified client certificate's name for EXTERNAL, "" for
 * none. `binding`: tls-exporter or tls-unique data for the -PLUS forms, `binding_type` its name.
 */
#define MSG_AUTH_START_FIELDS(F)   \
	F(STR, mechanism, 64)      \
	F(STR, client_addr, 64)    \
	F(U64, client_port, 65535) \
	F(STR, server_addr, 64)    \
	F(U64, server_port, 65535) \
	F(U64, tls, 1)             \
	F(STR, certificate, 512)   \
	F(STR, binding_type, 32)   \
	F(STR, binding, 512)       \
	F(U64, initial, 1)         \
	F(STR, response, 12288)
#define MSG_AUTH_CHALLENGE_FIELDS(F) F(STR, data, 12288)
#define MSG_AUTH_RESPONSE_FIELDS(F) F(STR, data, 12288)
#define MSG_AUTH_CANCEL_FIELDS(F)
#define MSG_AUTH_OK_FIELDS(F) F(STR, login, 256)
/* `temporary`: could not tell. `login`: who was claimed, "" where that is not known; `reason` is
 * for the log alone. */
#define MSG_AUTH_FAILED_FIELDS(F) \
	F(U64, temporary, 1) F(STR, login, 256) F(STR, reason, MSG_TEXT_MAX)

/* kingpost to keeper: the accounts of its own database. `action`: "add", "passwd" (replaces),
 * "delete"; `record` as lib/users writes it. USER_LIST is answered by USER_ROW rows, then DONE. */
#define MSG_USER_ACT_FIELDS(F) F(STR, action, 16) F(STR, name, 256) F(STR, record, 2048)
#define MSG_USER_LIST_FIELDS(F)
#define MSG_USER_ROW_FIELDS(F) F(STR, name, 256) F(STR, schemes, 256)

/* keeper to spawn: run checkpassword_command with `input` as its descriptor 3. Answer: SPAWNED, and
 * SPAWN_EXIT later. */
#define MSG_SPAWN_CHECKPASSWORD_FIELDS(F) F(FD, input, 0)

/* --- limiter --- */

/*
 * Adds `amount` to what has been counted under (kind, key) within the window; with `hold` it is
 * counted until TALLY_RELEASE or until the channel ends, and no window applies. Answer: TALLIED
 * with the new count.
 */
#define MSG_TALLY_FIELDS(F) \
	F(STR, kind, 32) F(STR, key, 512) F(U64, amount, 0) F(U64, window_ms, 0) F(U64, hold, 1)
#define MSG_TALLY_RELEASE_FIELDS(F) F(STR, kind, 32) F(STR, key, 512) F(U64, amount, 0)
#define MSG_TALLIED_FIELDS(F) F(U64, count, 0)
/* Is this address, its network or this login (either may be "") blocked, and how long is its next
 * AUTH to be delayed? */
#define MSG_BLOCK_FIND_FIELDS(F) F(STR, address, 64) F(STR, login, 256)
#define MSG_BLOCK_IS_FIELDS(F) \
	F(U64, blocked, 1) F(U64, left_ms, 0) F(U64, delay_ms, 0) F(STR, reason, MSG_TEXT_MAX)
/* `what` is "address", "network" or "login". */
#define MSG_BLOCK_SET_FIELDS(F) F(STR, what, 16) F(STR, key, 300) F(STR, reason, MSG_TEXT_MAX)
/* An AUTH has failed or passed. */
#define MSG_AUTH_RESULT_FIELDS(F) F(STR, address, 64) F(STR, login, 256) F(U64, passed, 1)
/* Greylisting: `key` is client network, sender and recipient; answer: GREY_IS, with the seconds to
 * wait, 0 where it may pass. */
#define MSG_GREY_FIELDS(F) \
	F(STR, key, 1200)  \
	F(STR, client, 64) F(U64, delay_s, 0) F(U64, keep_s, 0) F(U64, auto_after, 0)
#define MSG_GREY_IS_FIELDS(F) F(U64, wait_s, 0) F(U64, age_s, 0)
/* A fact that workers share for a time: a client that passed the tests before the greeting, and
 * the like. RECALL is answered by RECALLED. */
#define MSG_REMEMBER_FIELDS(F) F(STR, kind, 32) F(STR, key, 512) F(U64, ttl_s, 0)
#define MSG_RECALL_FIELDS(F) F(STR, kind, 32) F(STR, key, 512)
#define MSG_RECALLED_FIELDS(F) F(U64, found, 1) F(U64, left_s, 0)
/*
 * A login sends: `recipients` are their hashes, 8 octets each. Answer: USAGE_IS; `hold`: this goes
 * far beyond what the login does, `reason` says how. USAGE_FAILED: so many recipients of its mail
 * bounced.
 */
#define MSG_USAGE_FIELDS(F) F(STR, login, 256) F(U64, size, 0) F(STR, recipients, 8192)
#define MSG_USAGE_IS_FIELDS(F) F(U64, hold, 1) F(STR, reason, MSG_TEXT_MAX)
#define MSG_USAGE_FAILED_FIELDS(F) F(STR, login, 256) F(U64, count, 0)
/* limiter to bounce: the operator is to be told by mail that the account's mail goes to hold since
 * `when` (seconds since 1970). Answer: DONE when that is durable or not wanted, or REFUSED. */
#define MSG_ACCOUNT_NOTICE_FIELDS(F) F(STR, login, 256) F(STR, reason, MSG_TEXT_MAX) F(U64, when, 0)
/*
 * Does mail to `address` get through? Answer: VERIFIED, at once or (VERIFY_WAIT) when a probe has
 * its result; before it PROBE, where this asker is the one to submit the probe. PROBE_RESULT: what
 * became of a probe; from smtpd, one that could not be submitted.
 */
#define MSG_VERIFY_FIELDS(F) F(STR, address, MSG_ADDRESS_MAX) F(U64, mode, 2)
#define MSG_PROBE_FIELDS(F)
#define MSG_VERIFIED_FIELDS(F) F(U64, status, 3) F(STR, text, MSG_TEXT_MAX)
#define MSG_PROBE_RESULT_FIELDS(F) \
	F(STR, address, MSG_ADDRESS_MAX) F(U64, status, 3) F(STR, text, MSG_TEXT_MAX)

enum verify_mode {
	VERIFY_WAIT,
	VERIFY_NOW,  /* what is known; a probe is begun where it is due */
	VERIFY_PEEK, /* what is known, and nothing is begun */
};

enum verify_status {
	VERIFY_UNKNOWN, /* there is no result yet; `text` says why */
	VERIFY_DELIVERABLE,
	VERIFY_UNDELIVERABLE, /* for good */
	VERIFY_DEFERRED,      /* could not be told */
};

/* --- sendmail, pickup --- */

/* `sendmail -bs`: a socket on which the caller speaks SMTP. */
#define MSG_SUBMIT_SMTP_FIELDS(F) F(STR, origin, 4096) F(FD, socket, 0)
#define MSG_SESSION_FIELDS(F) F(U64, uid, 0) F(STR, origin, 4096) F(FD, socket, 0)

/* --- the queue socket --- */

/* Which messages; an empty field does not restrict. Ages in seconds. `queue`: "active", "deferred",
 * "hold", "corrupt". */
#define MSG_QUEUE_LIST_FIELDS(F)           \
	F(STR, id, MSG_ID_MAX)             \
	F(STR, sender, MSG_ADDRESS_MAX)    \
	F(STR, recipient, MSG_ADDRESS_MAX) \
	F(STR, queue, 16)                  \
	F(STR, reason, 256)                \
	F(U64, older, 0)                   \
	F(U64, younger, 0)                 \
	F(U64, limit, 0)
#define MSG_QUEUE_ENTRY_FIELDS(F)       \
	F(STR, id, MSG_ID_MAX)          \
	F(STR, queue, 16)               \
	F(U64, arrived, 0)              \
	F(U64, size, 0)                 \
	F(STR, sender, MSG_ADDRESS_MAX) \
	F(U64, next, 0)                 \
	F(U64, attempts, 0)             \
	F(U64, expired, 1)              \
	F(STR, reason, MSG_TEXT_MAX)
#define MSG_QUEUE_RCPT_FIELDS(F)          \
	F(STR, address, MSG_ADDRESS_MAX)  \
	F(STR, original, MSG_ADDRESS_MAX) \
	F(STR, reason, MSG_TEXT_MAX)      \
	F(STR, transport, 64)             \
	F(STR, nexthop, MSG_NEXTHOP_MAX)  \
	F(U64, status, 7)
/* `action`: "hold", "release", "delete", "flush", "requeue", "expire"; on the messages that the
 * other fields choose. */
#define MSG_QUEUE_ACT_FIELDS(F) F(STR, action, 16) MSG_QUEUE_LIST_FIELDS(F)
/* smtpd to qmgr: try what waits for the domain and its subdomains now. DONE, or REFUSED. */
#define MSG_ETRN_FIELDS(F) F(STR, domain, MSG_NAME_MAX)
#define MSG_QUEUE_CAT_FIELDS(F) F(STR, id, MSG_ID_MAX)
#define MSG_QUEUE_FILE_FIELDS(F) F(U64, offset, 0) F(U64, length, 0) F(FD, file, 0)

/* --- the control socket --- */

/* `verb`: "status", "reload", "stop", "channel". For "channel" the argument is a program's name. */
#define MSG_CONTROL_FIELDS(F) F(STR, verb, 32) F(STR, argument, 4096)
#define MSG_CONTROL_TEXT_FIELDS(F) F(STR, text, MSG_VALUE_MAX)
#define MSG_CONTROL_CHANNEL_FIELDS(F) F(FD, channel, 0)

#endif
