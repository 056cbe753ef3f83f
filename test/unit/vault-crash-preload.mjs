/** Preloaded by vault-rotation.test.ts: ends the process just before the file system is changed for the Nth time. */
import fs from 'node:fs/promises'
import { flushCompileCache, syncBuiltinESMExports } from 'node:module'

let left = Number(process.argv[2])
for (const name of ['rename', 'link', 'unlink', 'open', 'mkdir', 'chmod']) {
  const original = fs[name]
  fs[name] = (...args) => {
    const changes = name !== 'open' || (typeof args[1] === 'number' && (args[1] & 0o101) !== 0)
    if (changes && --left === 0) {
      // Which a process that ends by itself does at its end: the next one starts in half the time.
      flushCompileCache()
      process.kill(process.pid, 'SIGKILL')
    }
    return original(...args)
  }
}
syncBuiltinESMExports()
