/* SPDX-License-Identifier: ISC */
/*
 * The restrictions that smtpd knows: every name of Postfix's manual, and ours. One row each: what
 * it takes behind its name, what must be known for it to have sense, what it means for relaying.
 */
#ifndef KP_ACCESS_RULES_H
#define KP_ACCESS_RULES_H

enum rule_param {
	PARAM_NONE,
	PARAM_TABLE,  /* type:name */
	PARAM_ZONE,   /* a DNS zone, with Postfix's =d.d.d.d filter */
	PARAM_POLICY, /* a policy server, with options in braces */
	PARAM_NUMBER,
	PARAM_SPF,  /* options in braces, or none */
	PARAM_RULE, /* the restriction behind it */
};

/* What must have been said before it can be asked; without that it has no opinion. */
enum rule_need {
	NEED_NOTHING,
	NEED_HELO,
	NEED_SENDER,
	NEED_RCPT,
	NEED_TLS,
	NEED_LOGIN,
	NEED_ETRN,
};

/* What it does to a client that would relay, as far as that can be told without asking it. */
enum rule_relay {
	RELAY_NEVER,       /* never lets anything pass: it refuses, or has no opinion */
	RELAY_MAY,         /* may let it pass: a table or a server decides */
	RELAY_ALL,         /* lets all pass */
	RELAY_NONE,        /* refuses all */
	RELAY_DEFER_LATER, /* refuses what would pass in the end */
	RELAY_MYNETWORKS,  /* lets those pass who ... */
	RELAY_SASL,
	RELAY_CERT_ANY,
	RELAY_CERT_LISTED,
	RELAY_AUTH_DESTINATION, /* lets those recipients pass that are ours */
	RELAY_BACKUP,           /* ... or that we are a backup MX of */
	RELAY_UNAUTH_REFUSED,   /* refuses recipients that are not ours */
	RELAY_GROUP,            /* what stands in it */
};

#define ACCESS_RULES(R)                                                                           \
	R(PERMIT, "permit", NONE, NOTHING, ALL)                                                   \
	R(REJECT, "reject", NONE, NOTHING, NONE)                                                  \
	R(DEFER, "defer", NONE, NOTHING, NONE)                                                    \
	R(DEFER_IF_PERMIT, "defer_if_permit", NONE, NOTHING, DEFER_LATER)                         \
	R(DEFER_IF_REJECT, "defer_if_reject", NONE, NOTHING, NEVER)                               \
	R(WARN_IF_REJECT, "warn_if_reject", RULE, NOTHING, NEVER)                                 \
	R(SLEEP, "sleep", NUMBER, NOTHING, NEVER)                                                 \
	R(GROUP, "{}", NONE, NOTHING, GROUP)                                                      \
	/* the client */                                                                          \
	R(PERMIT_INET_INTERFACES, "permit_inet_interfaces", NONE, NOTHING, MYNETWORKS)            \
	R(PERMIT_MYNETWORKS, "permit_mynetworks", NONE, NOTHING, MYNETWORKS)                      \
	R(PERMIT_SASL, "permit_sasl_authenticated", NONE, NOTHING, SASL)                          \
	R(PERMIT_TLS_CLIENTCERTS, "permit_tls_clientcerts", NONE, NOTHING, CERT_LISTED)           \
	R(PERMIT_TLS_ALL_CLIENTCERTS, "permit_tls_all_clientcerts", NONE, NOTHING, CERT_ANY)      \
	R(UNKNOWN_CLIENT, "reject_unknown_client_hostname", NONE, NOTHING, NEVER)                 \
	R(UNKNOWN_REVERSE, "reject_unknown_reverse_client_hostname", NONE, NOTHING, NEVER)        \
	R(UNKNOWN_FORWARD, "reject_unknown_forward_client_hostname", NONE, NOTHING, NEVER)        \
	R(PLAINTEXT, "reject_plaintext_session", NONE, NOTHING, NEVER)                            \
	R(PIPELINING, "reject_unauth_pipelining", NONE, NOTHING, NEVER)                           \
	/* the address's name in HELO */                                                          \
	R(INVALID_HELO, "reject_invalid_helo_hostname", NONE, HELO, NEVER)                        \
	R(NON_FQDN_HELO, "reject_non_fqdn_helo_hostname", NONE, HELO, NEVER)                      \
	R(UNKNOWN_HELO, "reject_unknown_helo_hostname", NONE, HELO, NEVER)                        \
	/* the sender */                                                                          \
	R(NON_FQDN_SENDER, "reject_non_fqdn_sender", NONE, SENDER, NEVER)                         \
	R(UNKNOWN_SENDER_DOMAIN, "reject_unknown_sender_domain", NONE, SENDER, NEVER)             \
	R(UNLISTED_SENDER, "reject_unlisted_sender", NONE, SENDER, NEVER)                         \
	R(LOGIN_MISMATCH, "reject_sender_login_mismatch", NONE, SENDER, NEVER)                    \
	R(AUTH_LOGIN_MISMATCH, "reject_authenticated_sender_login_mismatch", NONE, SENDER, NEVER) \
	R(UNAUTH_LOGIN_MISMATCH, "reject_unauthenticated_sender_login_mismatch", NONE, SENDER,    \
	    NEVER)                                                                                \
	R(KNOWN_LOGIN_MISMATCH, "reject_known_sender_login_mismatch", NONE, SENDER, NEVER)        \
	R(UNVERIFIED_SENDER, "reject_unverified_sender", NONE, SENDER, NEVER)                     \
	R(SPF_FAIL, "reject_spf_fail", SPF, SENDER, NEVER)                                        \
	R(CHECK_SPF, "check_spf", SPF, SENDER, NEVER)                                             \
	/* the recipient */                                                                       \
	R(AUTH_DESTINATION, "permit_auth_destination", NONE, RCPT, AUTH_DESTINATION)              \
	R(MX_BACKUP, "permit_mx_backup", NONE, RCPT, BACKUP)                                      \
	R(UNAUTH_DESTINATION, "reject_unauth_destination", NONE, RCPT, UNAUTH_REFUSED)            \
	R(DEFER_UNAUTH_DESTINATION, "defer_unauth_destination", NONE, RCPT, UNAUTH_REFUSED)       \
	R(NON_FQDN_RCPT, "reject_non_fqdn_recipient", NONE, RCPT, NEVER)                          \
	R(UNKNOWN_RCPT_DOMAIN, "reject_unknown_recipient_domain", NONE, RCPT, NEVER)              \
	R(UNLISTED_RCPT, "reject_unlisted_recipient", NONE, RCPT, NEVER)                          \
	R(UNVERIFIED_RCPT, "reject_unverified_recipient", NONE, RCPT, NEVER)                      \
	R(MULTI_RCPT_BOUNCE, "reject_multi_recipient_bounce", NONE, NOTHING, NEVER)               \
	/* lists in DNS */                                                                        \
	R(RBL_CLIENT, "reject_rbl_client", ZONE, NOTHING, NEVER)                                  \
	R(RHSBL_CLIENT, "reject_rhsbl_client", ZONE, NOTHING, NEVER)                              \
	R(RHSBL_REVERSE, "reject_rhsbl_reverse_client", ZONE, NOTHING, NEVER)                     \
	R(RHSBL_HELO, "reject_rhsbl_helo", ZONE, HELO, NEVER)                                     \
	R(RHSBL_SENDER, "reject_rhsbl_sender", ZONE, SENDER, NEVER)                               \
	R(RHSBL_RCPT, "reject_rhsbl_recipient", ZONE, RCPT, NEVER)                                \
	R(DNSWL_CLIENT, "permit_dnswl_client", ZONE, NOTHING, MAY)                                \
	R(RHSWL_CLIENT, "permit_rhswl_client", ZONE, NOTHING, MAY)                                \
	/* tables */                                                                              \
	R(CLIENT_ACCESS, "check_client_access", TABLE, NOTHING, MAY)                              \
	R(REVERSE_ACCESS, "check_reverse_client_hostname_access", TABLE, NOTHING, MAY)            \
	R(HELO_ACCESS, "check_helo_access", TABLE, HELO, MAY)                                     \
	R(SENDER_ACCESS, "check_sender_access", TABLE, SENDER, MAY)                               \
	R(RCPT_ACCESS, "check_recipient_access", TABLE, RCPT, MAY)                                \
	R(CCERT_ACCESS, "check_ccert_access", TABLE, TLS, MAY)                                    \
	R(SASL_ACCESS, "check_sasl_access", TABLE, LOGIN, MAY)                                    \
	R(ETRN_ACCESS, "check_etrn_access", TABLE, ETRN, MAY)                                     \
	R(CLIENT_A_ACCESS, "check_client_a_access", TABLE, NOTHING, MAY)                          \
	R(CLIENT_MX_ACCESS, "check_client_mx_access", TABLE, NOTHING, MAY)                        \
	R(CLIENT_NS_ACCESS, "check_client_ns_access", TABLE, NOTHING, MAY)                        \
	R(REVERSE_A_ACCESS, "check_reverse_client_hostname_a_access", TABLE, NOTHING, MAY)        \
	R(REVERSE_MX_ACCESS, "check_reverse_client_hostname_mx_access", TABLE, NOTHING, MAY)      \
	R(REVERSE_NS_ACCESS, "check_reverse_client_hostname_ns_access", TABLE, NOTHING, MAY)      \
	R(HELO_A_ACCESS, "check_helo_a_access", TABLE, HELO, MAY)                                 \
	R(HELO_MX_ACCESS, "check_helo_mx_access", TABLE, HELO, MAY)                               \
	R(HELO_NS_ACCESS, "check_helo_ns_access", TABLE, HELO, MAY)                               \
	R(SENDER_A_ACCESS, "check_sender_a_access", TABLE, SENDER, MAY)                           \
	R(SENDER_MX_ACCESS, "check_sender_mx_access", TABLE, SENDER, MAY)                         \
	R(SENDER_NS_ACCESS, "check_sender_ns_access", TABLE, SENDER, MAY)                         \
	R(RCPT_A_ACCESS, "check_recipient_a_access", TABLE, RCPT, MAY)                            \
	R(RCPT_MX_ACCESS, "check_recipient_mx_access", TABLE, RCPT, MAY)                          \
	R(RCPT_NS_ACCESS, "check_recipient_ns_access", TABLE, RCPT, MAY)                          \
	/* others who decide */                                                                   \
	R(POLICY, "check_policy_service", POLICY, NOTHING, MAY)                                   \
	R(GREYLIST, "check_greylist", NONE, RCPT, NEVER)

enum rule_id {
#define RULE_ID(id, name, param, need, relay) RULE_##id,
	ACCESS_RULES(RULE_ID)
#undef RULE_ID
	    RULE_COUNT
};

struct rule_row {
	const char *name;
	enum rule_param param;
	enum rule_need need;
	enum rule_relay relay;
};

extern const struct rule_row access_rules[RULE_COUNT];

#endif
