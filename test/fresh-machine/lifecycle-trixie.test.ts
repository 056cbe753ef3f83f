import { lifecycle } from './lifecycle.ts'

await lifecycle(import.meta.url, 'trixie')
