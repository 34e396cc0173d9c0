// The dialog that asks for name and room.

import { cleanName } from './names.js';

export class Setup {
  #dialog;
  #fields;
  #enter;
  #isEntered;

  /** `enter` takes the name and the room; `isEntered`: without that the dialog cannot be left. */
  constructor({ dialog, form, name, room, cancel, enter, isEntered }) {
    this.#dialog = dialog;
    this.#fields = { name, room, cancel };
    [this.#enter, this.#isEntered] = [enter, isEntered];
    cancel.addEventListener('click', () => dialog.close());
    // Browsers let Escape close a dialog the second time, whatever a page says: then it opens again.
    dialog.addEventListener('cancel', (event) => isEntered() || event.preventDefault());
    dialog.addEventListener('close', () => isEntered() || dialog.showModal());
    form.addEventListener('submit', (event) => this.#submit(event));
    name.addEventListener('input', () => name.setCustomValidity(''));
  }

  get isOpen() {
    return this.#dialog.open;
  }

  open({ name, room }) {
    if (this.isOpen) return;
    const { name: nameField, room: roomField, cancel } = this.#fields;
    nameField.value = name;
    roomField.value = room;
    cancel.hidden = !this.#isEntered();
    this.#dialog.showModal();
    (name ? roomField : nameField).select();
  }

  #submit(event) {
    event.preventDefault();
    const { name, room } = this.#fields;
    const cleaned = cleanName(name.value);
    if (!cleaned) {
      name.setCustomValidity('A name has a character that can be seen.');
      name.reportValidity();
      return;
    }
    // Closing gives the focus back to what had it before; entering then moves it on.
    this.#dialog.close();
    this.#enter(cleaned, room.value);
  }
}
