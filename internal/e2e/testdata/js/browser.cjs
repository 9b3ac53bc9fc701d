// A browser with one page, driven line by line from standard input:
//
//   ["add", "/path/of/file"]
//
// calls the command of that name. Each line is answered with one on standard
// output, {"value": ...} or {"error": "..."}. The end of the input ends the
// browser.

const readline = require('readline')
const { chromium } = require('playwright-core')

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync']

// How long a command may take on a busy machine.
const patience = 60_000

function commandsOf(page) {
  const complaints = []
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  return {
    open: async (url) => void await page.goto(url),
    reload: async () => void await page.reload(),
    add: (file) => page.locator('input.uppy-Dashboard-input').first().setInputFiles(file),
    upload: () => page.locator('.uppy-StatusBar-actionBtn--upload').click(),
    awaitComplete: () => page.locator('.uppy-StatusBar.is-complete').waitFor(),
    status: () => page.locator('.uppy-StatusBar').innerText(),
    items: () => page.locator('.uppy-Dashboard-Item.is-complete').count(),
    uploadURL: () => page.evaluate(() => window.uppy.getFiles()[0].uploadURL),
    screenshot: async (path) => void await page.screenshot({ path }),
    complaints: () => complaints,
  }
}

async function main() {
  const browser = await chromium.launch({ executablePath: process.argv[2], args: flags })
  const page = await browser.newPage({ viewport: { width: 740, height: 490 } })
  page.setDefaultTimeout(patience)
  const commands = commandsOf(page)
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...parameters] = JSON.parse(line)
    try {
      console.log(JSON.stringify({ value: await commands[name](...parameters) }))
    } catch (error) {
      console.log(JSON.stringify({ error: String(error) }))
    }
  }
  await browser.close()
}

main()
