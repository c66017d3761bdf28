// A page that is opened from a disk may not start a worker. This stand-in runs the worker's script in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.onmessage = null
      this.listeners = []
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = "<!doctype html>"
      frame.addEventListener("load", () => this.start(frame.contentWindow, url), { once: true })
      document.body.append(frame)
    }

    start(inside, url) {
      // what the script calls to answer
      inside.postMessage = data => {
        const event = new MessageEvent("message", { data })
        this.onmessage?.(event)
        this.listeners.forEach(listener => listener(event))
      }
      const script = inside.document.createElement("script")
      script.src = String(url)
      script.addEventListener("load", () => {
        this.inside = inside
        this.waiting.forEach(data => this.postMessage(data))
      })
      inside.document.body.append(script)
    }

    postMessage(data) {
      if (this.inside) this.inside.dispatchEvent(new MessageEvent("message", { data }))
      else this.waiting.push(data)
    }

    addEventListener(type, listener) {
      if (type === "message") this.listeners.push(listener)
    }

    removeEventListener(type, listener) {
      this.listeners = this.listeners.filter(other => other !== listener)
    }

    terminate() {}
  }
}
