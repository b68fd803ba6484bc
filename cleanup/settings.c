/* SPDX-License-Identifier: ISC */
/* The settings of cleanup, one row each. */
#include "cleanup/conf.h"

#define TIME(name, def, min, max, help) SETTING_TIME_ROW(cleanup_conf, name, def, min, max, help)
#define SIZE(name, def, min, max, help) SETTING_SIZE_ROW(cleanup_conf, name, def, min, max, help)
#define INT(name, def, min, max, help) SETTING_INT_ROW(cleanup_conf, name, def, min, max, help)

#define LIST(name, def, help) SETTING_LIST_ROW(cleanup_conf, name, def, help)

static const char *const internal_words[] = {"bounce", "notify", NULL};

static const struct setting rows[] = {
    LIST(header_checks, "",
	"tables (pcre:, regexp:) that each header field is looked up in: REJECT, DISCARD, HOLD, "
	"WARN, INFO, PREPEND, REPLACE, IGNORE, STRIP, BCC, REDIRECT, FILTER, PASS, DUNNO"),
    LIST(mime_header_checks, "$header_checks",
	"the same for MIME headers: of parts, and Content-* and MIME-Version anywhere"),
    LIST(nested_header_checks, "$header_checks", "the same for headers of attached messages"),
    LIST(body_checks, "", "the same for each line of bodies, boundaries of parts included"),
    LIST(milter_header_checks, "",
	"the same for header fields that milters add or change, and for nothing else of a message"),
    SIZE(body_checks_size_limit, "51200", 0, INT64_MAX,
	"so much of each part is looked at by body_checks"),
    SETTING_BOOL_ROW(cleanup_conf, disable_mime_input_processing, "no",
	"checks take a message as one header and one body, whatever it says of its parts"),
    INT(mime_nesting_limit, "100", 1, 1000,
	"parts within parts are told apart so deep; what is deeper counts as body"),
    INT(mime_boundary_length_limit, "2048", 1, 65536,
	"longest boundary between parts; a part with a longer one counts as one body"),
    SETTING_WORDS_ROW(cleanup_conf, internal_mail_filter_classes, "", internal_words,
	"what the system makes itself and is checked all the same: bounce, notify (to the "
	"postmaster)"),
    SETTING_TEXT_ROW(cleanup_conf, always_bcc, "",
	"address that gets a copy of all mail that users and clients send"),
    LIST(sender_bcc_maps, "", "tables from a sender to the address that gets a copy"),
    LIST(recipient_bcc_maps, "", "tables from a recipient to the address that gets a copy"),
    INT(virtual_alias_expansion_limit, "1000", 1, 1000000,
	"most addresses that one recipient may expand to; the message is put off beyond"),
    INT(message_recipient_limit, "50000", 1, 10000000,
	"most recipients of one message, all expansions included"),
    SIZE(queue_minfree, "0", 0, INT64_MAX,
	"free space below which mail is put off (452); 0: one and a half times message_size_limit"),
    SIZE(journal_segment_size, "16M", 1 << 20, 1 << 30,
	"size of a journal segment, which is made in advance"),
    INT(journal_spare_segments, "3", 1, 1000,
	"journal segments that a worker keeps for using again"),
    INT(cleanup_message_limit, "10000", 1, 1000000,
	"most messages under way at once in one worker; 451 to those beyond"),
    TIME(cleanup_idle_timeout, "3600s", 1000, 24 * 3600 * 1000,
	"a message of which nothing came for so long is given up"),
    INT(cleanup_sync_threads, "4", 1, 64, "threads that sync large messages"),
};

const struct settings cleanup_settings = {
    "cleanup", rows, sizeof rows / sizeof rows[0], sizeof(struct cleanup_conf)};
