// Stands in for the driver's header, of which the emulated device needs nothing.
#pragma once
