// The field in which the user writes: it grows with its text, and knows which Enter sends.

export class Composer {
  #field;
  #button;

  /** `say` takes what is to be sent and tells whether it was taken; `typed` takes the text after each change. */
  constructor({ form, field, button, say, typed }) {
    [this.#field, this.#button] = [field, button];
    const submit = (event) => {
      event.preventDefault();
      if (say(field.value.trim())) this.#clear();
    };
    form.addEventListener('submit', submit);
    field.addEventListener('input', () => {
      this.#fit();
      typed(field.value.trim());
    });
    field.addEventListener('keydown', (event) => {
      // With an on-screen keyboard Enter is a new line, and while composing it belongs to the input method.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || matchMedia('(pointer: coarse)').matches) return;
      submit(event);
    });
  }

  /** What stands in the empty field. */
  set hint(text) {
    this.#field.placeholder = text;
  }

  focus() {
    this.#field.focus();
  }

  #clear() {
    this.#field.value = '';
    this.#fit();
    this.focus();
  }

  #fit() {
    this.#field.style.height = 'auto';
    this.#field.style.height = `${this.#field.scrollHeight}px`;
    this.#button.disabled = !this.#field.value.trim();
  }
}
