/* SPDX-License-Identifier: ISC */
/* qmgr's privileges. */
#ifndef QMGR_SANDBOX_H
#define QMGR_SANDBOX_H

struct sandbox;

extern const struct sandbox qmgr_sandbox;

#endif
