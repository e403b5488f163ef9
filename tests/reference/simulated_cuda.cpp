// A device guard that does nothing, for a CUDA device that is not there (a CPU build of torch registers none).
#include <c10/core/impl/DeviceGuardImplInterface.h>

struct Guard final : public c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA> {
  c10::Device exchangeDevice(c10::Device) const override { return c10::Device(c10::DeviceType::CUDA, 0); }
  c10::Device getDevice() const override { return c10::Device(c10::DeviceType::CUDA, 0); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};

static c10::impl::DeviceGuardImplRegistrar registrar(c10::DeviceType::CUDA, new Guard());
