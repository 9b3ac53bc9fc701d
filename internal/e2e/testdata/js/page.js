// The page with which people upload in the tests: Uppy's Dashboard and its tus
// plugin. The query says where to: page.html?endpoint=...

import Uppy from '@uppy/core'
import Dashboard from '@uppy/dashboard'
import Tus from '@uppy/tus'
import '@uppy/core/css/style.min.css'
import '@uppy/dashboard/css/style.min.css'

const endpoint = new URLSearchParams(location.search).get('endpoint')

// As often as a server needs that is started again on a busy machine.
const retryDelays = [100, 200, 500, ...Array(60).fill(1000)]

window.uppy = new Uppy()
  .use(Dashboard, { inline: true, target: '#dashboard', width: 700, height: 450 })
  .use(Tus, { endpoint, retryDelays })
