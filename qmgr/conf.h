/* SPDX-License-Identifier: ISC */
/* What qmgr is told. Settings that do what a Postfix parameter does bear its name. */
#ifndef QMGR_CONF_H
#define QMGR_CONF_H

#include "lib/conf/common.h"

struct qmgr_conf {
	struct conf_common common;
	int64_t minimal_backoff_time;
	int64_t maximal_backoff_time;
	int64_t maximal_queue_lifetime;
	int64_t bounce_queue_lifetime;
	int64_t delay_warning_time;
	int64_t initial_destination_concurrency;
	int64_t default_destination_concurrency_limit;
	int64_t default_destination_recipient_limit;
	int64_t smtp_destination_concurrency_limit;
	int64_t relay_destination_concurrency_limit;
	int64_t lmtp_destination_concurrency_limit;
	int64_t local_destination_concurrency_limit;
	int64_t virtual_destination_concurrency_limit;
	int64_t smtp_destination_recipient_limit;
	int64_t relay_destination_recipient_limit;
	int64_t lmtp_destination_recipient_limit;
	int64_t local_destination_recipient_limit;
	int64_t virtual_destination_recipient_limit;
	int64_t qmgr_message_active_limit;
	int64_t qmgr_delivery_limit;
	int64_t qmgr_report_timeout;
	int64_t qmgr_result_sync_delay;
	int64_t qmgr_journal_segments;
	int64_t qmgr_index_size;
	int64_t qmgr_rebuild_readers;
	int64_t qmgr_client_limit;
	int64_t qmgr_client_timeout;
	char *queue_operators_group;
};

extern const struct settings qmgr_settings;

#endif
