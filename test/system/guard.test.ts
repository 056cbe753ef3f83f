/**
 * The guard against a real kernel: this file runs itself again inside namespaces of its own, where others flush,
 * delete and insert as they like. The machine's own rules are never touched.
 */
import { spawnSync } from 'node:child_process'
import { PATH } from './firewall/places.ts'

if (process.argv[2] === 'inside') await (await import('./guard/behaviour.ts')).prove()
else process.exitCode = enterNamespaces()

function enterNamespaces(): number {
  const passed = Object.entries(process.env).filter(
    ([name]) => name.startsWith('TAP') || name.startsWith('_TAPJS'),
  )
  const own = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const { status, error } = spawnSync('unshare', [...own, process.execPath, import.meta.filename, 'inside'], {
    env: { ...Object.fromEntries(passed), PATH },
    stdio: 'inherit',
  })
  if (error) throw error
  return status ?? 1
}
