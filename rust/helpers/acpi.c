// SPDX-License-Identifier: GPL-2.0
/* Helpers for rust/kernel/acpi.rs. */

#include <linux/acpi.h>

#include "helpers.h"

acpi_handle sysgenid_helper_acpi_handle(struct device *dev)
{
	return ACPI_HANDLE(dev);
}

/* Inline functions where ACPI has no fixed events. */

acpi_status sysgenid_helper_install_timer_handler(acpi_event_handler handler)
{
	return acpi_install_fixed_event_handler(ACPI_EVENT_PMTIMER, handler, NULL);
}

void sysgenid_helper_disable_timer_event(void)
{
	acpi_disable_event(ACPI_EVENT_PMTIMER, 0);
}

void sysgenid_helper_remove_timer_handler(acpi_event_handler handler)
{
	acpi_remove_fixed_event_handler(ACPI_EVENT_PMTIMER, handler);
}
