/** Which of the service managers runs this machine. */
import type { Config } from '../../daemon/config/config.ts'
import { run, succeeds } from '../run.ts'
import { detached } from './detached.ts'
import { openrc, openrcIsThere } from './openrc.ts'
import type { ServiceHost, ServiceManager, Unit } from './service-manager.ts'
import { systemd, systemdIsThere } from './systemd.ts'

const machine: ServiceHost = { root: '', run, succeeds }

export function serviceManager(
  config: Pick<Config, 'runtimeDir' | 'shutdown'>,
  host: ServiceHost = machine,
): ServiceManager {
  if (systemdIsThere(host)) return systemd(host)
  return openrcIsThere(host) ? openrc(host) : detached(config)
}

/** Takes a unit away that some install wrote, whatever runs the machine now. */
export async function removeUnit(unit: Unit, host: ServiceHost = machine): Promise<void> {
  for (const manager of [systemd(host), openrc(host)])
    if (manager.units.some(({ path }) => path === unit.path)) await manager.remove(unit)
}
