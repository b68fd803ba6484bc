/* SPDX-License-Identifier: ISC */
/* The certificate files of a service: for smtpd itself, and for whoever checks a configuration. */
#ifndef SMTPD_FILES_H
#define SMTPD_FILES_H

#include "lib/base/attr.h"

struct buf;
struct smtpd_conf;

/* Appends the list that keeper is asked for; nothing where there is none. -1: over the buffer's
 * max. */
int files_list(const struct smtpd_conf *conf, struct buf *files) KP_MUST_USE;

#endif
