/* SPDX-License-Identifier: ISC */
/* What smtpd may do. */
#ifndef SMTPD_SANDBOX_H
#define SMTPD_SANDBOX_H

struct sandbox;

extern const struct sandbox smtpd_sandbox;

#endif
