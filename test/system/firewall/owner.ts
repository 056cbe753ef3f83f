/** A daemon that owns the redirect until it is killed. */
import { startRedirect } from '../../../firewall/redirect-owner.ts'
import { enforcement } from './enforcement.ts'

export async function runOwner(): Promise<void> {
  process.on('disconnect', () => process.exit(0))
  const redirect = await startRedirect(enforcement)
  process.send?.({ owner: redirect.pid })
}
