/* SPDX-License-Identifier: ISC */
/*
 * Counters and histograms in memory that master shares out, one slot a process. Counting is an
 * addition to one's own slot; who reads sums the slots. A slot outlives its process, so that counts
 * survive a restart of a worker.
 */
#ifndef KP_METRICS_METRICS_H
#define KP_METRICS_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/str.h"

/* METRIC(CONSTANT, name, kind, help): kind COUNTER only goes up, GAUGE is a present value,
 * HISTOGRAM is of microseconds. */
#define METRICS(M)                                                                                 \
	M(CONNECTIONS, smtpd_connects_total, COUNTER, "connections accepted")                      \
	M(SESSIONS, smtpd_sessions, GAUGE, "sessions open now")                                    \
	M(REJECTED, smtpd_messages_rejected_total, COUNTER, "recipients and messages refused")     \
	M(LIMITED, smtpd_limited_total, COUNTER, "refusals because of a limit or a block")         \
	M(SCREENED, smtpd_screened_total, COUNTER,                                                 \
	    "clients that failed a test before the greeting")                                      \
	M(GREYLISTED, smtpd_greylisted_total, COUNTER, "recipients refused by greylisting")        \
	M(USAGE_HELD, smtpd_account_held_total, COUNTER,                                           \
	    "messages of accounts that send far too much")                                         \
	M(MILTER_REFUSED, smtpd_milter_refused_total, COUNTER, "refusals by milters")              \
	M(STRESSED, smtpd_stress, GAUGE, "workers in stress mode")                                 \
	M(PICKED_UP, pickup_messages_total, COUNTER, "messages submitted on this machine")         \
	M(QUEUED, cleanup_messages_total, COUNTER, "messages made durable")                        \
	M(SYNCS, cleanup_syncs_total, COUNTER, "syncs of the journal")                             \
	M(SYNC_TIME, cleanup_sync_seconds, HISTOGRAM, "time of one sync")                          \
	M(ACTIVE, qmgr_active, GAUGE, "messages scheduled or under way")                           \
	M(WAITING, qmgr_waiting, GAUGE, "messages that wait for their next attempt")               \
	M(HELD, qmgr_held, GAUGE, "messages on hold")                                              \
	M(REMOVED, qmgr_messages_removed_total, COUNTER, "messages done")                          \
	M(SENT, deliveries_sent_total, COUNTER, "recipients delivered")                            \
	M(DEFERRED, deliveries_deferred_total, COUNTER, "delivery attempts put off")               \
	M(BOUNCED, deliveries_bounced_total, COUNTER, "recipients given up")                       \
	M(DELIVERY_TIME, delivery_delay_seconds, HISTOGRAM, "arrival to delivery")                 \
	M(NOTIFICATIONS, bounce_non_delivery_notification_total, COUNTER, "notifications written") \
	M(TLS_HANDSHAKES, smtpd_tls_handshakes_total, COUNTER, "TLS sessions of clients")          \
	M(TLS_RESUMED, smtpd_tls_resumed_total, COUNTER, "... that went on with an older one")     \
	M(TLS_FAILED, smtpd_tls_failed_total, COUNTER, "TLS handshakes that failed")               \
	M(SIGNATURES, keeper_signatures_total, COUNTER, "signatures made for handshakes")          \
	M(CERTIFICATES, tls_certificates, GAUGE, "certificates with a private key in keeper")      \
	M(CERTIFICATE_EXPIRY, tls_certificate_expiry_days, GAUGE,                                  \
	    "days until the first of the certificates expires")                                    \
	M(LOG_LOST, log_lost_total, COUNTER, "log events that found no room")                      \
	M(DNS_QUERIES, resolver_queries_total, COUNTER, "questions asked of resolver")             \
	M(ROUTES, router_answers_total, COUNTER, "routes given")

#define METRIC_ENUM(CONSTANT, name, kind, help) METRIC_##CONSTANT,
enum metric { METRICS(METRIC_ENUM) METRIC_COUNT };
#undef METRIC_ENUM

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum {
	METRIC_BUCKETS = 20
}; /* bucket i counts values below 16 * 2^i microseconds; the last counts all else */

struct metric_value {
	uint64_t count; /* COUNTER, GAUGE: the value; HISTOGRAM: how many */
	uint64_t sum;   /* HISTOGRAM: microseconds */
	uint64_t buckets[METRIC_BUCKETS];
};

struct metric_slot {
	struct metric_value values[METRIC_COUNT];
};

struct metric_row {
	const char *name;
	enum metric_kind kind;
	const char *help;
};
const struct metric_row *metric_row(enum metric m);

/* Before this is called, and in tests, counts go to memory of the process's own. The mapping of
 * `fd` at slot `slot`; -1 with errno. */
int metrics_open(int fd, unsigned slot);

void metric_add(enum metric m, int64_t n);
void metric_set(enum metric m, uint64_t value);
void metric_time(enum metric m, int64_t us);

/* Adds up `slots` slots of the mapping that master made. */
void metrics_sum(const struct metric_slot *slots, unsigned n, struct metric_slot *sum);

#endif
