/** The laboratory with a gateway in it, both gone at the end: how most system tests begin. */
import type { Test } from 'tap'
import { type Gateway, startGateway } from './gateway.ts'
import { type Lab, type LabOptions, startLab } from './lab.ts'

/**
 * To be called inside the laboratory's namespaces (enterLab).
 * @param settings as of {@link startGateway}
 */
export async function labWithGateway(
  t: Pick<Test, 'teardown'>,
  { settings, ...options }: LabOptions & { readonly settings?: string } = {},
): Promise<{ readonly lab: Lab; readonly gateway: Gateway }> {
  const lab = await startLab(options)
  const gateway = await startGateway(settings)
  t.teardown(async () => {
    await gateway.stop()
    await lab.stop()
  })
  return { lab, gateway }
}
