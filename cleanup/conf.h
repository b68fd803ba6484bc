/* SPDX-License-Identifier: ISC */
/* What cleanup is told. Settings that do what a Postfix parameter does bear its name. */
#ifndef CLEANUP_CONF_H
#define CLEANUP_CONF_H

#include "lib/conf/common.h"

struct cleanup_conf {
	struct conf_common common;
	struct setting_list header_checks;
	struct setting_list mime_header_checks;
	struct setting_list nested_header_checks;
	struct setting_list body_checks;
	struct setting_list milter_header_checks;
	int64_t body_checks_size_limit;
	bool disable_mime_input_processing;
	int64_t mime_nesting_limit;
	int64_t mime_boundary_length_limit;
	struct setting_list internal_mail_filter_classes;
	char *always_bcc;
	struct setting_list sender_bcc_maps;
	struct setting_list recipient_bcc_maps;
	int64_t virtual_alias_expansion_limit;
	int64_t message_recipient_limit;
	int64_t queue_minfree;
	int64_t journal_segment_size;
	int64_t journal_spare_segments;
	int64_t cleanup_message_limit;
	int64_t cleanup_idle_timeout;
	int64_t cleanup_sync_threads;
};

extern const struct settings cleanup_settings;

#endif
